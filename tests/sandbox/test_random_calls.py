"""System calls at random, for a bounded time: whatever they do, the slot goes on."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.host import HostRuntime
from sandbox import Level
from sandbox.checkup.corpus import load
from sandbox.slot import Slot

LIMITS = {
    "cpu_s": 2.0, "total_cpu_s": 2.0, "due_cpu_s": 2.0, "due_total_cpu_s": 2.0,
    "idle_s": 1.0, "memory_bytes": 1 << 28, "output_bytes": 1 << 20,
    "processes": 32, "disk_bytes": 1 << 22, "open_files": 64,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_random_system_calls_leave_the_slot_healthy(descendants: Callable[[int], list[int]], seed: int) -> None:
    (program,) = [program for program in load() if program.name == "escapes/random-system-calls"]
    code = re.sub(r"Random\(\d+\)", f"Random({seed})", program.code).replace("+ 0.3", "+ 1.5")
    assert code.count(f"Random({seed})") == code.count("+ 1.5") == 1
    survives(Slot(HostRuntime()), code, descendants)


@pytest.mark.usefixtures("needs_lower_level")
@pytest.mark.parametrize("seed", range(8))
def test_so_they_do_in_a_process_that_no_namespace_holds(descendants: Callable[[int], list[int]], seed: int) -> None:
    """It may end by what it does to itself; the file it could write to is as it was."""
    (program,) = [program for program in load() if program.name == "escapes/random-system-calls"]
    alone = program.code.replace("child = os.fork()", "child = 0").replace("    os._exit(0)\n", "")
    code = re.sub(r"Random\(\d+\)", f"Random({seed})", alone)
    assert code.count("os.fork") == code.count("os._exit") == 0
    before = Path(__file__).stat()
    survives(Slot(HostRuntime(), Level.LANDLOCK), code, descendants)
    after = Path(__file__).stat()
    assert (before.st_mode, before.st_uid, before.st_size, before.st_mtime_ns) == (
        after.st_mode, after.st_uid, after.st_size, after.st_mtime_ns,
    )  # fmt: skip


def survives(slot: Slot, code: str, descendants: Callable[[int], list[int]]) -> None:
    try:
        family = descendants(slot.pid)
        answer = slot.request({"op": "run", "code": code, "stdin": b"", "limits": LIMITS}, timeout_s=60)
        assert answer["verdict"] in {"AC", "TLE", "RE", "MLE", "OLE"}
        after = {"op": "run", "code": "print(input())", "stdin": b"well\n", "limits": LIMITS}
        for _ in range(3):
            assert slot.request(after, timeout_s=60)["stdout"] == b"well\n"
        assert descendants(slot.pid) == family
    finally:
        slot.close()
