import resource
import subprocess
import sys

import pytest

from sandbox.checkup.ulimits import NEEDS, judged, look_at_ulimits
from sandbox.worker.languages import STACK_BYTES

UNLIMITED: dict[str, int | None] = dict.fromkeys(NEEDS)


def test_without_limits_nothing_bites() -> None:
    (check,) = judged(UNLIMITED, workers=64)
    assert (check.ok, check.remedy) == (True, "")


@pytest.mark.parametrize(("name", "value"), [("as", 1 << 32), ("cpu", 600), ("fsize", 1 << 20), ("nofile", 256)])
def test_a_limit_that_bites_is_an_optional_gap_with_what_is_enough(name: str, value: int) -> None:
    (check,) = judged(UNLIMITED | {name: value}, workers=2)
    assert (check.name, check.ok, check.required) == (f"ulimit {name}", False, False)
    assert NEEDS[name].why in check.remedy
    assert f"`ulimit {NEEDS[name].option} " in check.remedy


def test_processes_that_are_enough_for_few_workers_are_too_few_for_many() -> None:
    assert judged(UNLIMITED | {"nproc": 4096}, workers=8)[0].ok
    assert not judged(UNLIMITED | {"nproc": 4096}, workers=64)[0].ok


def test_a_hard_limit_of_the_stack_keeps_the_sandbox_from_starting() -> None:
    (check,) = judged(UNLIMITED | {"stack": STACK_BYTES - 1}, workers=1)
    assert check.required
    assert "`ulimit -Hs 114688`" in check.remedy
    assert judged(UNLIMITED | {"stack": STACK_BYTES}, workers=1)[0].ok


def test_the_limits_of_this_process_are_what_is_looked_at() -> None:
    lowered = f"import resource; resource.setrlimit({resource.RLIMIT_CPU}, (500, 500))"
    look = "from sandbox.checkup.ulimits import look_at_ulimits; print([c.name for c in look_at_ulimits(1)])"
    done = subprocess.run([sys.executable, "-c", f"{lowered}\n{look}"], capture_output=True, text=True, check=True)
    assert "ulimit cpu" in done.stdout
    assert all(check.name != "ulimit cpu" for check in look_at_ulimits(1))


def test_a_limit_on_processes_does_not_hold_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1, 1))
    for user, holds in ((0, False), (1000, True)):
        monkeypatch.setattr("os.geteuid", iter([user]).__next__)
        assert ("ulimit nproc" in {check.name for check in look_at_ulimits(2)}) == holds
