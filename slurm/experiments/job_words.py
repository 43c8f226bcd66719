"""Slurm's states of jobs and reasons for waiting, in words."""

from __future__ import annotations

WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
RUNNING = frozenset(
    {"COMPLETING", "CONFIGURING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
)
FAILED = frozenset(
    {"BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "TIMEOUT"}
    | {"LAUNCH_FAILED"}
)
"""Source: squeue(1) and sacct(1), job state codes, of 20.11 to 24.05. REVOKED tells nothing: another cluster has it."""
_STATES = {
    "COMPLETING": "it is ending",
    "CONFIGURING": "its nodes are being set up",
    "RESIZING": "its size is being changed",
    "SIGNALING": "a signal is being sent to it",
    "STAGE_OUT": "its files are being moved",
    "STOPPED": "it was stopped by a signal, and keeps its nodes",
    "SUSPENDED": "it stands still: an administrator, or another job that has its nodes for now, has suspended it",
    "REQUEUE_HOLD": "it was queued again, and is held; `scontrol release {job}`",
    "RESV_DEL_HOLD": "its reservation was deleted, and it is held; `scontrol release {job}`",
    "SPECIAL_EXIT": "it has asked to be held after its end; `scontrol release {job}`",
}
_REASONS = {
    "None": "",
    "Priority": "waits for its turn",
    "Resources": "waits for free nodes",
    "Dependency": "waits for what it needs",
    "BeginTime": "it was queued again a moment ago, or is to start later",
    "JobArrayTaskLimit": "waits for others of its array (limits.running)",
    "JobHeldUser": "it is held; `scontrol release {job}`",
    "JobHeldAdmin": "an administrator holds it",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is not in use",
    "PartitionNodeLimit": "no node of its partition can take it; `resources`",
    "PartitionTimeLimit": "its partition does not allow so long a time limit",
    "PartitionConfig": "its partition does not allow what it asks for",
    "BadConstraints": "no node has what it asks for",
    "ReqNodeNotAvail": "nodes that it needs are down or reserved",
    "Reservation": "waits for its reservation",
    "Licenses": "waits for a licence",
    "job requeued in held state": "it was queued again, and is held; `scontrol release {job}`",
    "launch failed requeued held": "its start has failed, and it is held; `scontrol release {job}`",
}
_NEVER = "DependencyNeverSatisfied"


def never_starts(reason: str) -> bool:
    """What it needs has failed."""
    return reason.strip("()").startswith(_NEVER)


def waits_for_others(reason: str) -> bool:
    """What it needs has not ended, or not all of it."""
    return reason.strip("()").split(",", maxsplit=1)[0] == "Dependency"


def why(state: str, reason: str, job: str) -> str:
    """On one line: why a job waits, or what else it does than to run; empty where there is nothing to say."""
    reason = reason.strip("()")
    if state in _STATES:
        return _STATES[state].format(job=job)
    if state not in WAITING:
        return ""
    first = reason.split(",", maxsplit=1)[0]
    words = _REASONS.get(reason, _REASONS.get(first))
    if words is None:
        return f"waits: {reason}" if reason else ""
    return words.format(job=job)
