from collections.abc import Callable, Sequence

import pytest

from containers.runtime import Runtime
from sandbox import Level
from sandbox.checkup.check import Check, Group
from sandbox.checkup.doctor import examine, languages
from sandbox.checkup.guards import MACHINE_GUARDS

FORBIDDEN = """
def unshare(flags):
    raise PermissionError(1, 'unshare: Operation not permitted')
linux.unshare = unshare
"""


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_all_is_well_here_and_every_guard_is_told() -> None:
    report = examine()
    assert (report.level, report.missing) == (Level.USERNS, [])
    checks = by_name(report.checks)
    expected = MACHINE_GUARDS.keys() - {"single_process", "interpreter"}
    assert expected <= checks.keys()
    assert all(check.detail for check in report.checks)
    assert all(check.remedy for check in report.checks if not check.ok)


@pytest.mark.parametrize(
    ("patch", "guard", "remedy"),
    [
        ("seccomp.install = lambda single=None: None", "seccomp", "CONFIG_SECCOMP_FILTER"),
        ("main._NAMESPACES &= ~linux.CLONE_NEWNET", "network_namespace", "user namespaces"),
        ("main._OOM_SCORE = '0'", "oom_score", "report this"),
    ],
)
def test_a_guard_that_does_not_hold_is_told_with_its_remedy(
    patched_host: Callable[[str], Runtime], patch: str, guard: str, remedy: str
) -> None:
    report = examine(patched_host(patch))
    checks = by_name(report.checks)
    assert report.level is None
    assert [check.name for check in report.missing] == [guard]
    assert remedy in checks[guard].remedy
    assert checks["capabilities"].ok


def test_a_machine_that_forbids_user_namespaces_is_told_of_the_other_level(
    patched_host: Callable[[str], Runtime],
) -> None:
    report = examine(patched_host(FORBIDDEN))
    assert report.level is None
    checks = by_name(report.checks)
    assert "Operation not permitted" in checks["slot"].detail
    assert "user namespaces for ordinary users" in checks["slot"].remedy
    other = checks["level landlock"]
    assert not other.required
    assert "--level landlock" in other.detail if other.ok else other.remedy


def test_a_kernel_without_landlock_is_told_what_it_lacks(patched_host: Callable[[str], Runtime]) -> None:
    report = examine(patched_host("landlock.version = lambda: 0"))
    check = by_name(report.checks)["landlock"]
    assert (report.level, check.required, check.ok) == (Level.USERNS, False, False)
    assert "CONFIG_SECURITY_LANDLOCK" in check.remedy


def test_without_landlock_and_namespaces_there_is_no_level(patched_host: Callable[[str], Runtime]) -> None:
    report = examine(patched_host(FORBIDDEN + "\nlandlock.version = lambda: 0"))
    other = by_name(report.checks)["level landlock"]
    assert not other.ok
    assert "Linux 5.13" in other.remedy


def test_the_lower_level_is_examined_where_it_is_asked_for() -> None:
    report = examine(level=Level.LANDLOCK)
    if report.level is None:  # root, with an interpreter that only root can read
        assert "Permission denied" in by_name(report.checks)["slot"].detail
    else:
        checks = by_name(report.checks)
        assert report.level is Level.LANDLOCK
        assert {"landlock", "seccomp", "single_process", "interpreter"} <= checks.keys()
        assert "max_user_namespaces" not in checks


def test_every_guard_says_what_it_is_for_and_what_to_do() -> None:
    assert all(guard.meaning and guard.remedy for guard in MACHINE_GUARDS.values())


def test_what_is_known_of_control_groups_is_told_with_what_holds_instead() -> None:
    check = by_name(examine().checks)["control_group"]
    assert check.group is Group.JOB
    assert check.ok or ("cgroup v2" in check.detail and "every 20 ms" in check.detail)


def test_all_languages_that_a_machine_lacks_are_asked_for_together() -> None:
    checks = languages({"python": "", "c": "there is no gcc", "java": "there is no javac"}, Level.USERNS)
    assert [check.ok for check in checks] == [True, False, False]
    assert checks[1].remedy == checks[2].remedy
    assert checks[1].remedy.startswith("install gcc, javac, java for all users")
    (check,) = languages({"c": "not at this level"}, Level.LANDLOCK)
    assert "level userns" in check.remedy
