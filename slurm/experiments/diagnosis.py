"""From what is known of a task to where it stands, and why.

Each source may be missing: events (a file was lost), squeue (it does not answer; after some minutes it forgets), sacct
(many clusters keep no accounts), outputs, the log. What the job itself has written comes first, as it knows most; then
squeue, which knows what is; then sacct, which knows what was; then signs of life, and what the log ends with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slurm.experiments.causes import KILLED, NOT_STARTED, Trace, cause_of, is_told, problem_in, was_cancelled
from slurm.experiments.evidence import LOCAL, Evidence, gather
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.heartbeat import STALE_S
from slurm.experiments.history import History, history_of
from slurm.experiments.job_words import FAILED, RUNNING, WAITING, never_starts, waits_for_others, why
from slurm.experiments.state import Cause, Kind, State
from slurm.experiments.task import Task
from slurm.times import seconds

_UNMET = (Kind.FAILED, Kind.BLOCKED, Kind.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slurm:
    """What Slurm says: squeue where it knows the job, otherwise sacct."""

    state: str = ""
    """Empty: nothing."""
    reason: str = ""
    node: str = ""
    elapsed_s: float | None = None
    code: int | None = None
    canceller: str = ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    kind: Kind
    detail: str = ""
    cause: Cause | None = None
    last_words: str = ""


def states_of(folder: ExperimentFolder, tasks: Sequence[Task]) -> list[State]:
    """Where tasks stand, in their order: those that others wait for come first."""
    found: dict[str, State] = {}
    for task, evidence in zip(tasks, gather(folder, tasks), strict=True):
        unmet = next((name for name in task.needs if name in found and found[name].kind in _UNMET), "")
        found[task.id] = state_of(task, replace(evidence, unmet=unmet))
    return list(found.values())


def state_of(task: Task, evidence: Evidence) -> State:
    """Where a task stands. Any one source of the evidence may be missing."""
    history = history_of(evidence.events)
    slurm = _slurm(evidence, history)
    verdict = _verdict(task, evidence, history, slurm)
    elapsed_s = slurm.elapsed_s
    if history.ended is not None and history.started_s is not None:
        elapsed_s = history.ended.time - history.started_s
    return State(
        task=task,
        kind=verdict.kind,
        cause=verdict.cause,
        detail=verdict.detail,
        last_words=verdict.last_words,
        attempt=evidence.attempt,
        job=evidence.job,
        node=slurm.node or history.host,
        log=evidence.log,
        elapsed_s=elapsed_s,
        requeues=max(history.requeues, len(evidence.records) - 1, 0),
    )


def _slurm(evidence: Evidence, history: History) -> _Slurm:
    queue = evidence.queue
    record = evidence.records[-1] if evidence.records else None
    is_gone = evidence.is_queue_known and queue is None
    # Accounts lag behind; where the database was away, for ever.
    stale = (WAITING | RUNNING if is_gone else frozenset()) | (RUNNING if history.ended is not None else frozenset())
    if record is not None and record.state in stale:
        record = None
    if record is not None and (queue is None or {record.state, queue.state} == {"OUT_OF_MEMORY", "FAILED"}):
        return _Slurm(
            state="OUT_OF_MEMORY" if queue is not None else record.state,
            reason=record.reason,
            node=record.node,
            elapsed_s=record.elapsed_s if record.node else None,
            code=record.code,
            canceller=record.canceller,
        )
    if queue is None:
        return _Slurm()
    is_same = record is not None and record.state == queue.state
    return _Slurm(
        state=queue.state,
        reason=queue.reason,
        node=queue.node,
        elapsed_s=_elapsed_s(queue.elapsed) if queue.node else None,
        code=record.code if record is not None and is_same else None,
        canceller=record.canceller if record is not None and is_same else "",
    )


def _elapsed_s(text: str) -> float | None:
    try:
        return float(seconds(text))
    except ValueError:  # INVALID, while it begins
        return None


def _verdict(task: Task, evidence: Evidence, history: History, slurm: _Slurm) -> _Verdict:
    if not evidence.job:
        return _not_submitted(evidence)
    if history.has_succeeded:
        return _succeeded(evidence.output)
    if slurm.state in WAITING:
        return _waiting(evidence, slurm)
    problem = problem_in(evidence.tail, task.id) if history.ended is None else history.ended.problem
    # One that was told to end may have been preempted: Slurm then queues it again, once it has completed.
    may_come_again = slurm.state == "COMPLETING" and problem.startswith("cancelled")
    if slurm.state in RUNNING and (history.ended is None or may_come_again):
        return _running(evidence, slurm)
    if slurm.state == "COMPLETED" and history.ended is None:  # a job's exit code says whether its outputs were valid
        return _succeeded(evidence.output)
    if slurm.state == "CANCELLED" or _was_cancelled(evidence, history, slurm, problem):
        return _cancelled(evidence, history, slurm)
    if slurm.state in FAILED or history.ended is not None:
        return _failed(evidence, history, slurm, problem)
    return _unknown(evidence, history, problem)


def _not_submitted(evidence: Evidence) -> _Verdict:
    if evidence.unmet:
        return _Verdict(Kind.BLOCKED, f"needs {evidence.unmet}")
    return _Verdict(Kind.NOT_SUBMITTED, evidence.held)


def _succeeded(output: str | None) -> _Verdict:
    if output:
        return _Verdict(Kind.FAILED, output, Cause.OUTPUT)
    return _Verdict(Kind.SUCCEEDED)


def _waiting(evidence: Evidence, slurm: _Slurm) -> _Verdict:
    # Of several that it needs one has failed: Slurm sees that only once the whole array has ended.
    is_hopeless = evidence.unmet and waits_for_others(slurm.reason)
    if is_hopeless or never_starts(slurm.reason):
        return _blocked(evidence)
    return _Verdict(Kind.QUEUED, why(slurm.state, slurm.reason, evidence.job))


def _blocked(evidence: Evidence) -> _Verdict:
    return _Verdict(Kind.BLOCKED, f"needs {evidence.unmet}" if evidence.unmet else "what it needs has failed")


def _running(evidence: Evidence, slurm: _Slurm) -> _Verdict:
    detail = why(slurm.state, slurm.reason, evidence.job)
    if not detail and slurm.state == "RUNNING" and evidence.silent_s is not None and evidence.silent_s > STALE_S:
        silent = "" if math.isinf(evidence.silent_s) else f" for {evidence.silent_s / 60:.0f} min"
        detail = f"Slurm says that it runs, but it has given no sign of life{silent}"
    return _Verdict(Kind.RUNNING, detail)


def _was_cancelled(evidence: Evidence, history: History, slurm: _Slurm, problem: str) -> bool:
    """Somebody has told the job to end: neither its time limit nor Slurm, which has a state for that."""
    said = problem.startswith("cancelled") or (history.ended is None and "cancelled" in history.stops)
    is_plain = slurm.state in {"", "FAILED", "COMPLETING"} and not history.stops & {"limit", "preempted"}
    return said and is_plain and _is_plain(evidence.tail)


def _is_plain(tail: str) -> bool:
    """Slurm's lines in a log, if there are any, tell of no other reason than that somebody has cancelled the job."""
    return was_cancelled(tail) or "CANCELLED AT" not in tail


def _cancelled(evidence: Evidence, history: History, slurm: _Slurm) -> _Verdict:
    has_begun = history.started_s is not None or slurm.node
    if not has_begun and (evidence.unmet or never_starts(slurm.reason)):
        return _blocked(evidence)
    return _Verdict(Kind.CANCELLED, f"by {slurm.canceller}" if slurm.canceller else "")


def _failed(evidence: Evidence, history: History, slurm: _Slurm, problem: str) -> _Verdict:
    stops = history.stops & {"limit", "preempted"}
    code = slurm.code if history.ended is None else history.ended.code
    if problem.startswith(("input", "output")):  # the job's exit code is of that
        code = 0
    has_begun = history.started_s is not None or evidence.silent_s is not None
    reason = KILLED if slurm.reason == NOT_STARTED and has_begun else slurm.reason  # Slurm says the same of both
    found = cause_of(
        Trace(
            slurm=slurm.state,
            reason=reason,
            code=code,
            problem=problem or ((evidence.output or "") if code is None and not is_told(reason) else ""),
            stopped_by="" if not stops else "limit" if "limit" in stops else "preempted",
            log=evidence.tail,
        )
    )
    return _Verdict(Kind.FAILED, found.detail, found.cause, found.last_words)


def _unknown(evidence: Evidence, history: History, problem: str) -> _Verdict:
    """Slurm says nothing of the job, and the job nothing of its end."""
    is_alive = evidence.silent_s is not None and evidence.silent_s < STALE_S
    # Of lost events `submit` writes the first again: the sign of life alone says then that it has begun.
    is_untold = history.started_s is None and history.ended is None
    has_begun = history.is_running or (is_untold and evidence.silent_s is not None)
    if evidence.is_beginning or (has_begun and is_alive and not problem):
        return _Verdict(Kind.RUNNING)
    if not has_begun and evidence.unmet:
        return _blocked(evidence)
    if not has_begun and not evidence.is_queue_known and not evidence.job.startswith(LOCAL):
        return _Verdict(Kind.QUEUED, "Slurm does not answer")
    if was_cancelled(evidence.tail):
        return _Verdict(Kind.CANCELLED)
    if is_untold and (has_begun or not evidence.events) and evidence.output == "" and not problem:
        return _Verdict(Kind.SUCCEEDED)
    return _failed(evidence, history, _Slurm(), problem)
