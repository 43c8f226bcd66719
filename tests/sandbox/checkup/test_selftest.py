"""The corpus on this machine, and proof that it would notice a guard that is broken."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from containers.host import HostRuntime
from containers.runtime import Runtime
from sandbox import InfrastructureError, Level, UnsupportedHostError
from sandbox.checkup.corpus import Program, load
from sandbox.checkup.selftest import selftest

PACKAGES = ("numpy", "sortedcontainers")
GROUPS = sorted({program.name.split("/")[0] for program in load()})


def group(name: str) -> list[Program]:
    return [program for program in load() if program.name.split("/")[0] == name]


def named(*names: str) -> list[Program]:
    found = [program for program in load() if program.name in names]
    assert len(found) == len(names)
    return found


@pytest.mark.parametrize("name", GROUPS)
def test_no_hostile_program_earns_anything_and_every_honest_one_is_accepted(name: str) -> None:
    programs = group(name)
    done: list[None] = []
    report = selftest(programs, HostRuntime(packages=PACKAGES), on_done=lambda: done.append(None))
    assert [(failure.program.name, failure.why) for failure in report.failures] == []
    assert report.hostile + report.honest == len(programs) == len(done)
    assert sum(report.guards.values()) == len(programs)
    assert (report.level, report.left_out) == (Level.USERNS, 0)


@pytest.mark.usefixtures("needs_lower_level")
def test_the_same_holds_at_the_level_without_namespaces() -> None:
    report = selftest(load(), HostRuntime(packages=PACKAGES), Level.LANDLOCK)
    assert [(failure.program.name, failure.why) for failure in report.failures] == []
    assert report.left_out > 0
    assert report.hostile + report.honest + report.left_out == len(load())


@pytest.fixture
def broken_host(patched_host: Callable[[str], Runtime]) -> Callable[[str], Runtime]:
    """The host with a guard taken away, and the probe that would tell silenced."""
    silence = "candidate.measure = lambda facts: {'guards': {}, 'absent': {}}\n"
    return lambda patch: patched_host(silence + patch)


MOUNTING = "mount = linux.mount; linux.mount = lambda s, t, k, f, d='': mount(s, t, k, "
SHARED_IPC = """
cage.Cage.namespaces = property(lambda c: linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
syscalls._NUMBERS.update(semget=(64, 190))
seccomp._PROGRAM = seccomp._assembled(seccomp.filter_program())
"""
WRITABLE_ZERO = "inside = cage._inside; cage._inside = lambda spec: {**inside(spec), '/dev/zero': landlock.WRITE}"
WRITABLE_PROC = f"landlock.restrict = lambda ruleset: None\n{MOUNTING}f & ~(k == 'proc'), d)"
ANY_END_IS_WELL = "function_judge.ended_early = session.ended_early = lambda report: session.Outcome('AC', '')"
# What is broken, the program that finds it, and what is said of it.
FOUND = {
    "seccomp": ("seccomp.install = lambda single=None: None", "escapes/memory-file", "AC"),
    "ipc namespace": (SHARED_IPC, "persistence/sysv-semaphore", "AC"),
    "private proc": (f"{MOUNTING}f, d.replace(',hidepid=ptraceable', ''))", "escapes/process-1-in-proc", "AC"),
    "proc": (WRITABLE_PROC, "escapes/oom-score", "AC"),
    "landlock": (WRITABLE_ZERO, "escapes/dev-zero-for-writing", "AC"),
    "host name": ("linux.set_host_name = lambda name: None", "escapes/name-of-the-machine", "AC"),
    "environment": ("main._ENVIRONMENT['HF_TOKEN'] = 'x'", "escapes/secrets-in-the-environment", "AC"),
    "descriptors": ("linux.close_from = lambda lowest: None", "escapes/inherited-descriptors", "AC"),
    "process numbers": (
        "write = os.pwrite; os.pwrite = lambda to, what, at: None if what == b'1' else write(to, what, at)",
        "persistence/process-numbers",
        "AC",
    ),
    "completeness": (ANY_END_IS_WELL, "early_exit/os-exit-at-import", "AC"),
    "all is killed": ("supervisor.Supervisor._end_all = lambda self: None", "persistence/daemon", ""),
    "output cap": ("run.Run.kill = lambda *a: None", "resources/output-flood", ""),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_broken_guard_is_found_by_a_program(broken_host: Callable[[str], Runtime], name: str) -> None:
    patch, program, why = FOUND[name]
    report = selftest(named(program), broken_host(patch))
    assert [failure.program.name for failure in report.failures] == [program]
    assert why in report.failures[0].why


def test_nothing_is_found_where_nothing_is_broken(broken_host: Callable[[str], Runtime]) -> None:
    programs = named(*{program for _, program, _ in FOUND.values()})
    assert selftest(programs, broken_host("")).failures == ()


def test_a_slot_that_is_killed_is_a_failure_of_the_program_and_the_rest_goes_on(
    broken_host: Callable[[str], Runtime],
) -> None:
    patch = (
        "answer = broker.Broker._answer\n"
        "def die(self, request):\n"
        "    if 'catastrophic' in str(request) or '(a*)*b' in str(request): os._exit(0)\n"
        "    return answer(self, request)\n"
        "broker.Broker._answer = die"
    )
    programs = named("resources/catastrophic-regex", "early_exit/sys-exit-at-import")
    assert any("(a*)*b" in program.code for program in programs)
    report = selftest(programs, broken_host(patch))
    assert [failure.program.name for failure in report.failures] == ["resources/catastrophic-regex"]
    assert "its slot failed" in report.failures[0].why


def test_a_program_that_could_not_be_run_is_no_success() -> None:
    def fail() -> None:
        raise KeyError("unforeseen")

    with pytest.raises(KeyError, match="unforeseen"):
        selftest(group("early_exit"), HostRuntime(), on_done=fail)


def test_no_slot_is_left_when_one_cannot_be_started(
    descendants: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descendants(os.getpid())
    runtime = HostRuntime()
    starts: list[int] = []
    start = HostRuntime.start

    def second_fails(self: HostRuntime, *arguments: Any) -> Any:
        starts.append(1)
        if len(starts) == 2:
            raise OSError("no more processes")
        return start(self, *arguments)

    monkeypatch.setattr(HostRuntime, "start", second_fails)
    with pytest.raises(InfrastructureError, match="no more processes"):
        selftest(group("early_exit"), runtime)
    assert descendants(os.getpid()) == before


def test_a_machine_that_cannot_sandbox_is_told(broken_host: Callable[[str], Runtime]) -> None:
    with pytest.raises(UnsupportedHostError):
        selftest(group("early_exit"), broken_host("cage.Cage.namespaces = property(lambda c: linux.CLONE_NEWNS)"))
