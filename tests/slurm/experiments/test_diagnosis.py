"""Where a task stands, from everything that is known, and from all of it but one source."""

from dataclasses import dataclass, field, replace

import pytest

from slurm.experiments.accounting import Record
from slurm.experiments.description import Resources, Stopping
from slurm.experiments.diagnosis import state_of
from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, Submitted
from slurm.experiments.evidence import Evidence
from slurm.experiments.state import Cause, Kind
from slurm.experiments.task import Expected, Task
from slurm.queue_listing import Job

TASK = Task(
    stage="train",
    version=1,
    parameters={"beta": 1},
    script="true",
    environment={},
    workdir="/w",
    inputs=(),
    outputs=(Expected(path="o"),),
    content={},
    needs=("generate",),
    resources=Resources(),
    stopping=Stopping(),
)
JOB = "7_3"
SUBMITTED = Submitted(time=100, job=JOB, log="/e/logs/7_3.log")
STARTED = Started(time=110, job=JOB, host="node1", pid=5)
TRACEBACK = 'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\nValueError: loss is nan\n'
CUDA = TRACEBACK.replace("ValueError: loss is nan", "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB")


def ended(code: int, problem: str = "", **sizes: int) -> Ended:
    return Ended(time=170, code=code, problem=problem, sizes=sizes)


def cancelled_line(why: str) -> str:
    return f"slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-01-01T00:00:00{why} ***\n"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What has happened, and everything that was left behind."""

    events: tuple[Event, ...]
    queue: str = ""
    """State and reason."""
    record: str = ""
    """State and exit code."""
    output: str | None = None
    tail: str = ""
    silent_s: float | None = 5000
    unmet: str = ""
    kind: Kind
    cause: Cause | None = None
    only: dict[str, tuple[Kind, Cause | None]] = field(default_factory=dict)
    """What is told where the only source of something is lost."""

    def evidence(self) -> Evidence:
        state, _, reason = self.queue.partition(" ")
        node = "node1" if STARTED in self.events else ""
        final, _, code = self.record.partition(" ")
        return Evidence(
            attempt=1,
            job=JOB,
            log="/e/logs/7_3.log",
            events=self.events,
            queue=Job(JOB, state, node, "1:00", "59:00", reason) if state else None,
            records=[Record(job=JOB, state=final, code=int(code) if code else None, node=node)] if final else [],
            output=self.output,
            tail=self.tail,
            silent_s=self.silent_s,
            unmet=self.unmet,
        )


SCENARIOS = {
    "waits": Scenario(events=(SUBMITTED,), queue="PENDING Priority", silent_s=None, kind=Kind.QUEUED),
    "runs": Scenario(events=(SUBMITTED, STARTED), queue="RUNNING", silent_s=9, kind=Kind.RUNNING),
    "was queued again": Scenario(
        events=(SUBMITTED, STARTED, Stopped(time=150, why="limit"), Requeued(time=160)),
        queue="PENDING BeginTime",
        silent_s=20,
        kind=Kind.QUEUED,
    ),
    "has succeeded": Scenario(
        events=(SUBMITTED, STARTED, ended(0, o=5)),
        queue="COMPLETED",
        record="COMPLETED 0",
        output="",
        kind=Kind.SUCCEEDED,
    ),
    "succeeded long ago, no accounts": Scenario(
        events=(SUBMITTED, STARTED, ended(0, o=5)), output="", kind=Kind.SUCCEEDED
    ),
    "time limit, told ahead": Scenario(
        events=(SUBMITTED, STARTED, Stopped(time=150, why="limit"), ended(-15, "time limit: reached 1 times")),
        queue="FAILED NonZeroExitCode",
        record="FAILED 143",
        output="output o: it is not there",
        tail="limit: the command gets SIGTERM\ntrain/beta=1: time limit: reached 1 times\n",
        kind=Kind.FAILED,
        cause=Cause.TIME_LIMIT,
    ),
    "time limit, killed": Scenario(
        events=(SUBMITTED, STARTED),
        queue="TIMEOUT TimeLimit",
        record="TIMEOUT 0",
        tail="step 3\n" + cancelled_line(" DUE TO TIME LIMIT"),
        kind=Kind.FAILED,
        cause=Cause.TIME_LIMIT,
    ),
    "out of memory": Scenario(
        events=(SUBMITTED, STARTED, ended(137)),
        queue="FAILED NonZeroExitCode",
        record="OUT_OF_MEMORY 137",
        tail="slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.\n",
        kind=Kind.FAILED,
        cause=Cause.OUT_OF_MEMORY,
    ),
    "out of GPU memory": Scenario(
        events=(SUBMITTED, STARTED, ended(1)),
        queue="FAILED NonZeroExitCode",
        record="FAILED 1",
        tail=CUDA,
        kind=Kind.FAILED,
        cause=Cause.OUT_OF_MEMORY,
        only={"tail": (Kind.FAILED, Cause.EXIT_CODE)},
    ),
    "node failure": Scenario(
        events=(SUBMITTED, STARTED),
        queue="NODE_FAIL NodeDown",
        record="NODE_FAIL 1",
        tail=cancelled_line(" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"),
        kind=Kind.FAILED,
        cause=Cause.NODE_FAILURE,
    ),
    "preempted": Scenario(
        events=(SUBMITTED, STARTED, Stopped(time=150, why="cancelled"), ended(-15, "cancelled")),
        queue="PREEMPTED",
        record="PREEMPTED 0",
        tail=cancelled_line(" DUE TO PREEMPTION") + "train/beta=1: cancelled\n",
        kind=Kind.FAILED,
        cause=Cause.PREEMPTED,
    ),
    "Python error": Scenario(
        events=(SUBMITTED, STARTED, ended(1)),
        queue="FAILED NonZeroExitCode",
        record="FAILED 1",
        tail=TRACEBACK,
        kind=Kind.FAILED,
        cause=Cause.PYTHON_ERROR,
        only={"tail": (Kind.FAILED, Cause.EXIT_CODE)},
    ),
    "exit code": Scenario(
        events=(SUBMITTED, STARTED, ended(3)),
        queue="FAILED NonZeroExitCode",
        record="FAILED 3",
        tail="no such model\n",
        kind=Kind.FAILED,
        cause=Cause.EXIT_CODE,
    ),
    "signal": Scenario(
        events=(SUBMITTED, STARTED, ended(-11)),
        queue="FAILED RaisedSignal:11(Segmentation_fault)",
        record="FAILED 139",
        kind=Kind.FAILED,
        cause=Cause.SIGNAL,
    ),
    "the job itself was killed": Scenario(
        events=(SUBMITTED, STARTED),
        queue="FAILED RaisedSignal:9(Killed)",
        output="output o: it is not there",
        kind=Kind.FAILED,
        cause=Cause.OUT_OF_MEMORY,
        only={"queue": (Kind.FAILED, Cause.OUTPUT)},
    ),
    "the job itself was killed, in Slurm's other words": Scenario(
        events=(SUBMITTED, STARTED),
        queue="FAILED JobLaunchFailure",
        kind=Kind.FAILED,
        cause=Cause.OUT_OF_MEMORY,
        only={"queue": (Kind.FAILED, Cause.LOST)},
    ),
    "could not be started": Scenario(
        events=(SUBMITTED,),
        queue="FAILED JobLaunchFailure",
        output="output o: it is not there",
        silent_s=None,
        kind=Kind.FAILED,
        cause=Cause.NODE_FAILURE,
        only={"queue": (Kind.QUEUED, None)},
    ),
    "input missing": Scenario(
        events=(SUBMITTED, STARTED, ended(0, "input i: it is not there")),
        queue="FAILED NonZeroExitCode",
        record="FAILED 1",
        output="output o: it is not there",
        tail="train/beta=1: input i: it is not there\n",
        kind=Kind.FAILED,
        cause=Cause.INPUT,
    ),
    "output missing": Scenario(
        events=(SUBMITTED, STARTED, ended(0, "output o: it is not there")),
        queue="FAILED NonZeroExitCode",
        record="FAILED 1",
        output="output o: it is not there",
        tail="train/beta=1: output o: it is not there\n",
        kind=Kind.FAILED,
        cause=Cause.OUTPUT,
    ),
    "output truncated since": Scenario(
        events=(SUBMITTED, STARTED, ended(0, o=5)),
        queue="COMPLETED",
        record="COMPLETED 0",
        output="output o: it had 5 bytes when the job ended, and has 2 now",
        kind=Kind.FAILED,
        cause=Cause.OUTPUT,
        only={"output": (Kind.SUCCEEDED, None)},
    ),
    "cancelled while it ran": Scenario(
        events=(SUBMITTED, STARTED, Stopped(time=150, why="cancelled"), ended(-15, "cancelled")),
        queue="CANCELLED",
        record="CANCELLED 0",
        output="output o: it is not there",
        tail=cancelled_line("") + "train/beta=1: cancelled\n",
        kind=Kind.CANCELLED,
    ),
    "cancelled while it ran, no accounts": Scenario(
        events=(SUBMITTED, STARTED, Stopped(time=150, why="cancelled"), ended(-15, "cancelled")),
        tail=cancelled_line("") + "train/beta=1: cancelled\n",
        kind=Kind.CANCELLED,
    ),
    "killed by scancel": Scenario(
        events=(SUBMITTED, STARTED), queue="CANCELLED", record="CANCELLED 0", tail="step 3\n", kind=Kind.CANCELLED
    ),
    "cancelled while it waited": Scenario(
        events=(SUBMITTED,), queue="CANCELLED", record="CANCELLED 0", silent_s=None, kind=Kind.CANCELLED
    ),
    "dropped by Slurm": Scenario(
        events=(SUBMITTED,),
        queue="CANCELLED DependencyNeverSatisfied",
        record="CANCELLED 0",
        silent_s=None,
        unmet="generate",
        kind=Kind.BLOCKED,
    ),
    "waits for ever": Scenario(
        events=(SUBMITTED,),
        queue="PENDING DependencyNeverSatisfied",
        silent_s=None,
        unmet="generate",
        kind=Kind.BLOCKED,
    ),
    "lost": Scenario(events=(SUBMITTED, STARTED), tail="step 3\n", kind=Kind.FAILED, cause=Cause.LOST),
}
SOURCES = ("events", "queue", "records", "output", "tail", "heartbeat")


def without(evidence: Evidence, source: str) -> Evidence:
    match source:
        case "events":
            return replace(evidence, events=())
        case "queue":
            return replace(evidence, queue=None, is_queue_known=False)
        case "records":
            return replace(evidence, records=())
        case "output":
            return replace(evidence, output=None)
        case "tail":
            return replace(evidence, tail="")
        case _:
            return replace(evidence, silent_s=None)


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_sources_together_tell_it(name: str) -> None:
    scenario = SCENARIOS[name]
    state = state_of(TASK, scenario.evidence())
    assert (state.kind, state.cause) == (scenario.kind, scenario.cause)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_others_tell_it_where_a_source_is_lost(name: str, source: str) -> None:
    scenario = SCENARIOS[name]
    state = state_of(TASK, without(scenario.evidence(), source))
    assert (state.kind, state.cause) == scenario.only.get(source, (scenario.kind, scenario.cause))


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if scenario.record])
def test_accounts_tell_what_squeue_has_forgotten(name: str) -> None:
    scenario = SCENARIOS[name]
    state = state_of(TASK, replace(scenario.evidence(), queue=None))
    assert (state.kind, state.cause) == (scenario.kind, scenario.cause)
