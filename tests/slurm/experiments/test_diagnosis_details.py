"""What is said of a task beside its state, and that something is said whatever is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.experiments.accounting import Record
from slurm.experiments.description import Description
from slurm.experiments.diagnosis import state_of
from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, Submitted
from slurm.experiments.evidence import Evidence
from slurm.experiments.expansion import tasks_of
from slurm.experiments.job_words import FAILED, RUNNING, WAITING
from slurm.experiments.state import Cause, Kind
from slurm.queue_listing import Job

STAGES = {"generate": {"command": "true"}, "train": {"command": "true", "after": ["generate"], "outputs": ["o"]}}
TASK = tasks_of(Description.model_validate({"name": "test", "stages": STAGES}), Path("/w"))[1]
JOB = "7_3"
SUBMITTED = Submitted(time=100, job=JOB, log="/e/logs/7_3.log")
STARTED = Started(time=110, job=JOB, host="node1", pid=5)
CANCELLED = "slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-01-01T00:00:00{} ***\n"
TRACEBACK = 'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\nValueError: loss is nan\n'


def ended(code: int, problem: str = "") -> Ended:
    return Ended(time=170, code=code, problem=problem)


def known(*events: Event, queue: str = "", node: str = "node1", **fields: Any) -> Evidence:
    job = Job(JOB, queue, node, "1:00" if node else "0:00", "59:00", "") if queue else None
    return Evidence(attempt=1, job=JOB, events=events, queue=job, **fields)


JOBS = st.builds(
    Job,
    st.just(JOB),
    st.sampled_from(sorted(WAITING | RUNNING | FAILED | {"COMPLETED", "CANCELLED", "REVOKED", "NEW_IN_25"})),
    st.sampled_from(["", "node1"]),
    st.sampled_from(["0:00", "1-02:03:04", "INVALID"]),
    st.just(""),
    st.sampled_from(["", "Priority", "Dependency", "DependencyNeverSatisfied", "RaisedSignal:9(Killed)"]),
)
RECORDS = st.builds(
    Record,
    job=st.just(JOB),
    state=st.sampled_from(sorted(WAITING | RUNNING | FAILED | {"COMPLETED", "CANCELLED"})),
    code=st.none() | st.integers(-64, 255),
    node=st.sampled_from(["", "node1"]),
)
EVENTS = st.sampled_from(
    [
        SUBMITTED,
        STARTED,
        Stopped(time=1, why="limit"),
        Stopped(time=1, why="cancelled"),
        Requeued(time=1),
        ended(0),
        ended(1),
        ended(0, "output o: it is empty"),
        ended(-9),
    ]
)
EVIDENCE = st.builds(
    Evidence,
    attempt=st.just(1),
    job=st.sampled_from([JOB, "local-7"]),
    events=st.lists(EVENTS, max_size=5),
    queue=st.none() | JOBS,
    is_queue_known=st.booleans(),
    records=st.lists(RECORDS, max_size=2),
    silent_s=st.none() | st.sampled_from([1.0, 5000.0, float("inf")]),
    output=st.none() | st.sampled_from(["", "output o: it is empty"]),
    tail=st.sampled_from(["", TRACEBACK, CANCELLED.format(""), CANCELLED.format(" DUE TO TIME LIMIT")]),
    unmet=st.sampled_from(["", "generate"]),
)


@given(EVIDENCE)
def test_whatever_is_known_a_cause_is_named_for_failures_and_for_nothing_else(evidence: Evidence) -> None:
    state = state_of(TASK, evidence)
    assert (state.cause is not None) == (state.kind is Kind.FAILED)
    assert state.kind is not Kind.NOT_SUBMITTED
    assert "\n" not in state.detail


def test_what_was_never_submitted_says_why_it_was_held_back() -> None:
    state = state_of(TASK, Evidence(held="QOSMaxSubmitJobPerUserLimit: later"))
    assert (state.kind, state.detail) == (Kind.NOT_SUBMITTED, "QOSMaxSubmitJobPerUserLimit: later")


def test_what_needs_a_failed_task_is_blocked_before_it_is_submitted() -> None:
    state = state_of(TASK, Evidence(unmet="generate"))
    assert (state.kind, state.detail) == (Kind.BLOCKED, "needs generate")


def test_a_job_that_slurm_takes_for_running_and_that_is_silent_is_said_to_be_so() -> None:
    evidence = known(SUBMITTED, STARTED, queue="RUNNING", silent_s=1200)
    assert "no sign of life for 20 min" in state_of(TASK, evidence).detail


def test_a_running_job_in_accounts_that_squeue_does_not_know_has_ended() -> None:
    records = [Record(job=JOB, state="RUNNING", node="node1")]
    assert state_of(TASK, known(SUBMITTED, STARTED, records=records, silent_s=5000)).cause is Cause.LOST


def test_who_has_cancelled_it_is_said() -> None:
    records = [Record(job=JOB, state="CANCELLED", canceller="ada")]
    assert state_of(TASK, known(SUBMITTED, STARTED, queue="CANCELLED", records=records)).detail == "by ada"


def test_a_job_runs_again_after_a_failure_that_slurm_has_queued_it_again_for() -> None:
    state = state_of(TASK, known(SUBMITTED, STARTED, ended(-15, "cancelled"), STARTED, queue="RUNNING", silent_s=1))
    assert (state.kind, state.requeues) == (Kind.RUNNING, 1)


def test_times_are_of_the_last_run() -> None:
    assert state_of(TASK, known(SUBMITTED, STARTED, ended(3), queue="FAILED")).elapsed_s == 60


def test_a_job_that_was_cancelled_before_it_began_has_run_for_no_time() -> None:
    assert state_of(TASK, known(SUBMITTED, queue="CANCELLED", node="")).elapsed_s is None


@pytest.mark.parametrize(("silent_s", "kind"), [(5000, Kind.SUCCEEDED), (9, Kind.RUNNING), (None, Kind.FAILED)])
def test_of_events_that_are_lost_but_for_the_first_signs_of_life_and_outputs_tell_the_rest(
    silent_s: float | None, kind: Kind
) -> None:
    evidence = known(SUBMITTED, silent_s=silent_s, output="")
    assert state_of(TASK, evidence).kind is kind


def test_a_job_that_is_ending_after_its_command_has_failed_has_failed() -> None:
    state = state_of(TASK, known(SUBMITTED, STARTED, ended(3), queue="COMPLETING", silent_s=1))
    assert (state.kind, state.cause) == (Kind.FAILED, Cause.EXIT_CODE)


def test_a_job_that_was_told_to_end_may_be_queued_again_until_slurm_has_ended_it() -> None:
    events = (SUBMITTED, STARTED, Stopped(time=2, why="cancelled"), ended(9, "cancelled"))
    assert state_of(TASK, known(*events, queue="COMPLETING")).kind is Kind.RUNNING
    assert state_of(TASK, known(*events, queue="CANCELLED")).kind is Kind.CANCELLED
    preempted = state_of(TASK, known(*events, queue="PREEMPTED"))
    assert (preempted.kind, preempted.cause) == (Kind.FAILED, Cause.PREEMPTED)


@pytest.mark.parametrize(
    ("events", "output", "kind"),
    [
        ([ended(3)], "", Kind.FAILED),
        ([Stopped(time=2, why="cancelled"), ended(-15, "cancelled")], "", Kind.CANCELLED),
        ([ended(0)], "output x: it is not there", Kind.FAILED),
    ],
)
def test_accounts_that_lag_behind_the_end_of_a_job_are_passed_over(
    events: list[Event], output: str, kind: Kind
) -> None:
    records = [Record(job=JOB, state="RUNNING", node="node1")]
    evidence = known(SUBMITTED, STARTED, *events, records=records, is_queue_known=False, output=output)
    assert state_of(TASK, evidence).kind is kind


def test_accounts_tell_how_often_a_job_was_queued_again_where_events_are_lost() -> None:
    records = [Record(job=JOB, state=state) for state in ("NODE_FAIL", "NODE_FAIL", "FAILED")]
    assert state_of(TASK, known(records=records)).requeues == 2


def test_a_lack_of_memory_that_accounts_alone_tell_of_is_told() -> None:
    records = [Record(job=JOB, state="OUT_OF_MEMORY", node="node1")]
    state = state_of(TASK, known(SUBMITTED, STARTED, ended(1), queue="FAILED", records=records))
    assert state.cause is Cause.OUT_OF_MEMORY


def test_the_exit_code_of_an_earlier_run_in_accounts_is_not_this_ones() -> None:
    records = [Record(job=JOB, state="PREEMPTED", code=-15, node="node1")]
    state = state_of(TASK, known(SUBMITTED, STARTED, queue="FAILED", records=records, output="output o: it is empty"))
    assert state.cause is Cause.OUTPUT


def test_a_local_process_that_never_began_does_not_wait_for_slurm() -> None:
    evidence = replace(known(Submitted(time=1, job="local-7", log="x"), is_queue_known=False), job="local-7")
    assert state_of(TASK, evidence).kind is Kind.FAILED


@pytest.mark.parametrize(
    ("reason", "unmet", "kind"),
    [
        ("Dependency", "", Kind.QUEUED),
        ("Dependency", "generate", Kind.BLOCKED),  # others of that array still run
        ("Priority", "generate", Kind.QUEUED),  # it had succeeded, and its output is gone
        ("DependencyNeverSatisfied", "", Kind.BLOCKED),
    ],
)
def test_what_waits_for_a_failed_job_waits_in_vain(reason: str, unmet: str, kind: Kind) -> None:
    queue = Job(JOB, "PENDING", "", "0:00", "59:00", reason)
    assert state_of(TASK, Evidence(attempt=1, job=JOB, events=[SUBMITTED], queue=queue, unmet=unmet)).kind is kind
