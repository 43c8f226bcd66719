import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

from containers.host import HostRuntime
from sandbox import InfrastructureError, Limits, Problem
from sandbox.checkup.family import Process, Role, family, launchers
from sandbox.messages import definition, judge_request
from sandbox.slot import Slot

SLEEPING = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\ndef f(): time.sleep(60)"


@pytest.fixture
def slot() -> Iterator[Slot]:
    slot = Slot(HostRuntime())
    yield slot
    slot.close()


def roles(slot: Slot) -> list[Role]:
    return [process.role for process in family(slot.pid)]


def test_an_idle_slot_is_three_processes(slot: Slot) -> None:
    assert roles(slot) == [Role.LAUNCHER, Role.BROKER, Role.ZYGOTE]


def test_a_slot_that_judges_has_a_judge_and_each_process_of_the_program(
    slot: Slot, eventually: Callable[[Callable[[], object]], None]
) -> None:
    key, problem = definition(Problem(id="sleeping", tests=("assert f()",)))
    limits = Limits(cpu_s=60, idle_s=60)
    request = judge_request(key, SLEEPING, limits, stop_on_first_failure=False, isolate_tests=False)

    def judge() -> None:
        with pytest.raises(InfrastructureError, match="broker"):
            slot.request(request, problem)

    thread = threading.Thread(target=judge)
    thread.start()
    try:
        eventually(lambda: sorted(roles(slot)) == sorted([*Role, Role.CANDIDATE]))
    finally:
        slot.interrupt()
        thread.join()


def test_a_closed_slot_has_no_processes() -> None:
    slot = Slot(HostRuntime())
    before = family(slot.pid)
    slot.close()
    assert family(slot.pid) == []
    assert not any(process.is_alive() for process in before)


def test_the_slots_of_a_process_are_found_and_its_other_children_are_not(slot: Slot) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert slot.pid in launchers(os.getpid())
        assert other.pid not in launchers(os.getpid())
        other.kill()


def test_a_signal_reaches_the_process(slot: Slot, eventually: Callable[[Callable[[], object]], None]) -> None:
    zygote = next(process for process in family(slot.pid) if process.role is Role.ZYGOTE)
    assert zygote.send(signal.SIGSTOP)
    assert zygote.is_alive()
    assert zygote.send(signal.SIGKILL)
    eventually(lambda: not zygote.is_alive())
    assert not zygote.send(signal.SIGKILL)


def test_another_process_of_the_same_number_is_not_signalled() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        stranger = Process(other.pid, 0, Role.ZYGOTE)
        assert not stranger.send(signal.SIGKILL)
        assert other.poll() is None
        other.kill()


def test_memory_is_what_the_process_holds(slot: Slot) -> None:
    assert all(1 << 20 < process.memory_bytes() < 1 << 28 for process in family(slot.pid))
