import io

import pytest
from rich.console import Console

from sandbox import Level
from sandbox.checkup.check import Check, Group, fine, gap
from sandbox.checkup.doctor import Report
from sandbox.checkup.doctor_text import show, to_send

LONG = "a remedy that is much longer than a narrow terminal is wide, because it says what to set, where, and also why"
GUARD = fine(Group.MACHINE, "seccomp", "system calls by an allow-list", required=True)
CLOCK = gap(Group.SHARED_FOLDER, "clock", "30 s apart", LONG)
STACK = gap(Group.JOB, "ulimit stack", "too low", "ulimit -Hs 114688", required=True)


def shown(width: int, level: Level | None, *checks: Check) -> list[str]:
    out = io.StringIO()
    show(Report(level=level, checks=checks), Console(file=out, width=width, color_system=None))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [50, 80, 200])
def test_every_check_is_marked_below_its_group_on_any_terminal(width: int) -> None:
    lines = shown(width, Level.USERNS, GUARD, STACK, CLOCK)
    assert lines[0] == "enforcement: userns"
    assert [line.split()[0] for line in lines if line and line.split()[0] in ("ok", "missing", "gap")] == [
        "ok", "missing", "gap",
    ]  # fmt: skip
    assert all(str(group) in lines for group in (Group.MACHINE, Group.JOB, Group.SHARED_FOLDER))
    assert all(len(line) <= width for line in lines if not line.startswith(("- ", "To do")))


def test_what_is_to_be_sent_is_one_line_each_on_a_narrow_terminal_too() -> None:
    assert f"- optional, clock: {LONG}" in shown(50, Level.USERNS, GUARD, CLOCK)


def test_what_is_required_comes_first_and_the_same_is_asked_for_once() -> None:
    again = gap(Group.MACHINE, "other clock", "", LONG)
    report = Report(level=None, checks=(GUARD, CLOCK, again, STACK))
    assert to_send(report)[1:] == [
        "- required, ulimit stack: ulimit -Hs 114688",
        f"- optional, clock, other clock: {LONG}",
    ]


def test_where_all_is_well_nothing_is_to_be_sent() -> None:
    assert to_send(Report(level=Level.USERNS, checks=(GUARD,))) == []
    assert not any("To do" in line for line in shown(80, Level.USERNS, GUARD))


def test_the_last_line_tells_whether_the_sandbox_refuses() -> None:
    assert shown(80, None, STACK)[-1] == "The sandbox will not start here."
    assert shown(80, Level.USERNS, STACK)[-1] == "Not all that was asked for can be had here."
    assert not shown(80, Level.USERNS, CLOCK)[-1].startswith(("The sandbox", "Not all"))
