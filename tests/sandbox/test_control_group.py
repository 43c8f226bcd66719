"""Control groups, real ones: as root the tests make one of their own; what a hierarchy lacks is skipped."""

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from containers.host import HostRuntime
from sandbox import Limits, Sandbox, UnsupportedHostError, Verdict
from sandbox.control_group import VARIABLE, Delegation, SlotGroup, find, mount_point
from sandbox.slot import Slot

MIB = 1 << 20


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty group of this user's, named by the variable."""
    mount = mount_point()
    if mount is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    if not os.access(mount, os.W_OK):
        pytest.skip("this user may make no control group: nothing is delegated to it")
    path = mount / f"qrpo-test-{os.getpid()}"
    path.mkdir()
    monkeypatch.setenv(VARIABLE, str(path))
    yield path
    path.rmdir()  # which fails where something was left in it


def needs(group: Path, controller: str) -> None:
    if controller not in (group / "cgroup.controllers").read_text().split():
        pytest.skip(f"the cgroup v2 hierarchy of this machine has no controller {controller!r}")


def test_a_slot_makes_its_group_and_takes_it_away(group: Path) -> None:
    slot = Slot(HostRuntime())
    (made,) = [path for path in group.iterdir() if path.is_dir()]
    assert made.name.startswith(f"qrpo-sandbox.{os.getpid()}.")
    inside = (made / "broker" / "cgroup.procs").read_text().split()
    assert str(slot.pid) in inside
    assert len(inside) == 3  # who waits, the broker, the zygote
    assert "control_group" in slot.enforcement.guards
    slot.close()
    assert not made.exists()


def test_each_run_has_a_group_and_leaves_none(group: Path) -> None:
    with Sandbox(workers=1) as box:
        for _ in range(3):
            seen = box.run("print([l.strip() for l in open('/proc/self/cgroup') if l.startswith('0::')])").stdout
            assert seen.endswith(b"/run']\n")
            assert not list(group.glob("*/run"))


def test_cpu_time_is_the_groups_and_misses_no_process(group: Path) -> None:
    """A parent that lets its children's time be lost: only the group still knows it."""
    code = """
import os, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0: burn(0.008)
        os._exit(0)
    os.wait()
time.sleep(0.05)
"""
    with Sandbox(workers=1) as box:
        result = box.run(code)
        assert result.verdict is Verdict.AC
        assert result.cpu_s >= 0.16
        assert box.run("while True: pass", limits=Limits(cpu_s=0.2)).verdict is Verdict.TLE


def settings_during_a_run(group: Path, limits: Limits, name: str) -> str:
    """What a file of the run's group says while a program runs."""
    with Sandbox(workers=1) as box, ThreadPoolExecutor(1) as thread:
        running = thread.submit(box.run, "import time; time.sleep(1)", b"", limits)
        while not running.done():
            for path in group.glob(f"*/run/{name}"):
                with contextlib.suppress(OSError):
                    return path.read_text().strip()
            time.sleep(0.005)
    raise AssertionError(f"no run had a {name}")


def test_the_kernel_caps_the_memory_of_a_run(group: Path) -> None:
    needs(group, "memory")
    limits = Limits(memory_bytes=64 * MIB)
    assert 64 * MIB <= int(settings_during_a_run(group, limits, "memory.max")) <= 96 * MIB
    assert settings_during_a_run(group, limits, "memory.oom.group") == "1"
    with Sandbox(workers=1) as box:
        result = box.run("x = bytearray(b'1') * (200 << 20)", limits=limits)
        assert result.verdict is Verdict.MLE
        assert 0 < result.peak_memory_bytes <= 96 * MIB


def test_the_kernel_caps_the_number_of_processes_of_a_run(group: Path) -> None:
    needs(group, "pids")
    assert settings_during_a_run(group, Limits(processes=7), "pids.max") == "7"


def test_groups_of_dead_owners_are_cleaned_up(group: Path) -> None:
    left = group / "qrpo-sandbox.999999999.0"
    (left / "broker").mkdir(parents=True)
    made = SlotGroup(Delegation(group, frozenset()))
    assert not left.exists()
    assert made.path.exists()
    made.close()
    assert not made.path.exists()


def test_a_named_group_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UnsupportedHostError, match=f"{VARIABLE} is .* no cgroup v2 folder"):
        find()
    with pytest.raises(UnsupportedHostError, match=VARIABLE):
        Slot(HostRuntime())


def test_a_named_group_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mount = mount_point()
    if mount is None or os.geteuid() == 0:
        pytest.skip("needs a mounted cgroup v2 hierarchy and an ordinary user")
    monkeypatch.setenv(VARIABLE, str(mount))
    with pytest.raises(UnsupportedHostError, match="may not divide"):
        find()


def test_without_a_delegated_group_there_is_a_reason_and_everything_else_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    found = find()
    if isinstance(found, Delegation):
        pytest.skip(f"{found.path} is delegated to this process")
    assert found
    slot = Slot(HostRuntime())
    slot.close()
    assert slot.enforcement.absent["control_group"] == found
    assert "process_limit" in slot.enforcement.guards
