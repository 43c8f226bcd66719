import threading
import time
from collections.abc import Callable, Sequence

from sandbox.checkup.check import Check, Group, fine
from sandbox.checkup.looks import Look, begin, end


def look(name: str, do: Callable[[], Sequence[Check]]) -> Look:
    return Look(group=Group.DISK, name=name, do=do)


def taken(*looks: Look, timeout_s: float = 30) -> list[Check]:
    return end(looks, begin(looks), timeout_s)


def fails() -> Sequence[Check]:
    raise RuntimeError("no such luck")


def test_what_fails_or_hangs_is_told_and_hides_nothing_else() -> None:
    forever = threading.Event()
    checks = taken(
        look("hangs", lambda: [fine(Group.DISK, "never", str(forever.wait()))]),
        look("fails", fails),
        look("works", lambda: [fine(Group.DISK, "one", ""), fine(Group.DISK, "two", "")]),
        timeout_s=0.5,
    )
    forever.set()
    assert [(check.name, check.ok, check.required) for check in checks] == [
        ("hangs", False, False), ("fails", False, False), ("one", True, False), ("two", True, False),
    ]  # fmt: skip
    assert "0.5 s" in checks[0].detail
    assert "RuntimeError: no such luck" in checks[1].detail


def test_all_look_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)

    def meets() -> Sequence[Check]:
        together.wait()
        return []

    assert taken(*[look(str(number), meets) for number in range(3)]) == []


def test_one_deadline_is_for_all_of_them() -> None:
    forever = threading.Event()
    looks = [look(str(number), lambda: [fine(Group.DISK, "never", str(forever.wait()))]) for number in range(4)]
    began_s = time.monotonic()
    assert len(taken(*looks, timeout_s=0.5)) == 4
    forever.set()
    assert time.monotonic() - began_s < 1.9
