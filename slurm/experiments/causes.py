"""Why a job has failed: from Slurm's state of it, its exit code, and what it has printed.

What Slurm says of the end of a job comes first, in its state or in the log: a program that is told to end may print
a traceback of its own. Then the program's error, and the bare exit code last. Accepted misfires: a program that is
killed by SIGKILL, with no other trace, is taken for one that was out of memory, as the kernel leaves none; one that
survives a lack of memory in a child, and fails by something that is no Python error, likewise. Of the last lines one
that begins with `error:` is taken for the reason, though the program may have gone on after it.
"""

from __future__ import annotations

import re
import signal
from typing import Literal, NamedTuple

from slurm.experiments.log_tail import last_lines
from slurm.experiments.state import Cause
from slurm.experiments.tracebacks import PythonError, root_error

_LINES = 12
_NEAR = 100
"""Lines between an error and the end of a log."""
_DETAIL = 300
"""Characters of a line that somebody is to read."""
NOT_STARTED, KILLED = "JobLaunchFailure", "RaisedSignal:9(Killed)"
"""Reasons of squeue: a job could not be started; its own process was killed."""
_OF_SLURM = {
    "TIMEOUT": (Cause.TIME_LIMIT, "Slurm has ended it at its time limit"),
    "DEADLINE": (Cause.TIME_LIMIT, "Slurm has ended it at its deadline"),
    "OUT_OF_MEMORY": (Cause.OUT_OF_MEMORY, "host memory: the job has used more than it had asked for"),
    "NODE_FAIL": (Cause.NODE_FAILURE, "its node has failed"),
    "BOOT_FAIL": (Cause.NODE_FAILURE, "its node could not be booted"),
    "RECONFIG_FAIL": (Cause.NODE_FAILURE, "its node could not be set up"),
    "PREEMPTED": (Cause.PREEMPTED, "another job has taken its place"),
    NOT_STARTED: (Cause.NODE_FAILURE, "it could not be started on its node, or its log not be written there"),
}
_SAID_BY_SLURM = (
    (re.compile(r"CANCELLED AT \S+ DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"CANCELLED AT \S+ DUE TO NODE FAILURE|Job credential expired|[Dd]ue to node failure"), "NODE_FAIL"),
    (re.compile(r"CANCELLED AT \S+ DUE TO PREEMPTION"), "PREEMPTED"),
    (
        re.compile(
            r"oom[_-]kill|exceeded memory limit|Exceeded job memory limit|task \d+: Out Of Memory"
            r"|OOM Killed|cgroup out-of-memory handler"
        ),
        "OUT_OF_MEMORY",
    ),
)
_CANCELLED = re.compile(r"\*\*\* JOB \d+ ON \S+ CANCELLED AT \S+ \*\*\*")
_GPU_MEMORY = re.compile(
    r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|RESOURCE_EXHAUSTED: Out of memory|HIP out of memory"
)
_HOST_MEMORY = re.compile(
    r"^(?:\S+\.)?_?(?:Array)?MemoryError\b|DefaultCPUAllocator: (?:can't|not enough)|Cannot allocate memory"
    r"|DataLoader worker \(pid(?:\(s\))? [\d, ]+\) (?:is killed by signal: (?:Killed|Bus error)|exited unexpectedly)"
    r"|A process in the process pool was terminated abruptly",
    re.MULTILINE,
)
_WORKER_SIGNAL = re.compile(r"Root Cause \(first observed failure\):.*?\bSignal (\d+) \(SIG", re.DOTALL)
_RAISED = re.compile(r"RaisedSignal:(\d+)")
_NOISE = re.compile(r"^(?:=+|-+|srun: .*|slurmstepd\S*: .*|\s*)$")

_SAYS_ERROR = re.compile(r"(?:[^\s:]+: )?(?:(?:fatal|critical)(?: error)?|error): ", re.IGNORECASE)


class Finding(NamedTuple):
    """What is said of a failure."""

    cause: Cause
    detail: str
    """On one line."""
    last_words: str


class Trace(NamedTuple):
    """What a failed job has left."""

    slurm: str = ""
    """State in which Slurm has ended it; empty where that is not known."""
    reason: str = ""
    """Of squeue: NonZeroExitCode, RaisedSignal:9(Killed) and so on."""
    code: int | None = None
    """Exit code of the command or the job; of a process that a signal ended, less the signal's number."""
    problem: str = ""
    """See `Ended.problem`."""
    stopped_by: Literal["", "limit", "preempted"] = ""
    """Why it was told to end; it has not queued itself again."""
    log: str = ""
    """The end of it, see `slurm.experiments.log_tail`."""


def is_told(reason: str) -> bool:
    """Whether squeue's reason says more of a failure than that there was one."""
    return reason == NOT_STARTED or _RAISED.match(reason) is not None


def was_cancelled(log: str) -> bool:
    """Whether Slurm says so in a job's log, and gives no other reason."""
    lines = _lines_of_slurm(log)
    return _CANCELLED.search(lines) is not None and _state_in(lines) == ""


def problem_in(log: str, task_id: str) -> str:
    """What the job has said of itself in its log, as `Ended.problem`; empty where it has not."""
    found = re.findall(rf"^{re.escape(task_id)}: ((?:input|output|time limit|cancelled|job)\b.*)$", log, re.MULTILINE)
    return str(found[-1]) if found else ""


def cause_of(trace: Trace) -> Finding:
    """The one cause that is named."""
    words = last_lines(trace.log, _LINES)
    said = NOT_STARTED if trace.reason == NOT_STARTED else trace.slurm
    state = said if said in _OF_SLURM else _state_in(_lines_of_slurm(trace.log))
    error = _error(trace)
    if error is not None and _GPU_MEMORY.search(error.chain) and state in {"", "OUT_OF_MEMORY"}:
        return Finding(Cause.OUT_OF_MEMORY, _on_one_line(f"GPU memory: {error.line}"), error.words)
    if state:
        return Finding(*_OF_SLURM[state], words)
    if trace.stopped_by:
        cause = Cause.TIME_LIMIT if trace.stopped_by == "limit" else Cause.PREEMPTED
        return Finding(cause, _on_one_line(trace.problem) or "it was told to end, and was not queued again", words)
    if trace.problem.startswith("time limit"):
        return Finding(Cause.TIME_LIMIT, _on_one_line(trace.problem), words)
    if trace.problem.startswith("input"):
        return Finding(Cause.INPUT, _on_one_line(trace.problem), words)
    if trace.problem.startswith("job"):
        return Finding(Cause.EXIT_CODE, _on_one_line(trace.problem), words)
    worker = _WORKER_SIGNAL.findall(trace.log)
    if trace.code != 0 and error is not None and not (worker and error.is_consequence):
        return _of_python(error)
    if trace.code != 0 and worker:
        return _of_signal(int(worker[-1]), "a worker", words)
    if trace.problem.startswith("output") and trace.code in {0, None}:
        return Finding(Cause.OUTPUT, _on_one_line(trace.problem), words)
    return _of_code(trace, words)


def _error(trace: Trace) -> PythonError | None:
    """Where it is not known that the job has failed by itself, one that the log ends with."""
    error = root_error(trace.log)
    is_sure = trace.code is not None or trace.slurm == "FAILED"
    if error is None or is_sure or trace.log.count("\n") - error.end < _NEAR:
        return error
    return None


def _state_in(lines: str) -> str:
    """The state that Slurm's own lines in a log tell of."""
    return next((state for pattern, state in _SAID_BY_SLURM if pattern.search(lines)), "")


def _lines_of_slurm(log: str) -> str:
    if "slurmstepd" not in log and "srun: " not in log:
        return ""
    return "\n".join(line for line in log.split("\n") if "slurmstepd" in line or "srun: " in line)


def _of_python(error: PythonError) -> Finding:
    if _GPU_MEMORY.search(error.chain):
        return Finding(Cause.OUT_OF_MEMORY, _on_one_line(f"GPU memory: {error.line}"), error.words)
    if _HOST_MEMORY.search(error.chain):
        return Finding(Cause.OUT_OF_MEMORY, _on_one_line(f"host memory: {error.line}"), error.words)
    return Finding(Cause.PYTHON_ERROR, _on_one_line(error.line), error.words)


def _of_code(trace: Trace, words: str) -> Finding:
    raised = _RAISED.match(trace.reason)
    code = -int(raised[1]) if trace.code is None and raised else trace.code
    if code is not None and (code < 0 or 128 < code <= 128 + signal.SIGRTMAX):
        return _of_signal(-code if code < 0 else code - 128, "it", words)
    said = trace.problem or _telling(words)
    if code is not None:
        said = f"exit code {code}{': ' * bool(said)}{said}"
    elif trace.slurm:
        said = f"{trace.reason or trace.slurm}{': ' * bool(said)}{said}"
    else:
        return Finding(Cause.LOST, _on_one_line(f"nothing tells how it has ended{'; ' * bool(said)}{said}"), words)
    return Finding(Cause.EXIT_CODE, _on_one_line(said), words)


def _telling(words: str) -> str:
    """The last line that says of itself that it is an error; otherwise the last."""
    lines = [line for line in words.splitlines() if not _NOISE.match(line)]
    return next((line for line in reversed(lines) if _SAYS_ERROR.match(line)), lines[-1] if lines else "")


def _of_signal(number: int, who: str, words: str) -> Finding:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return Finding(
            Cause.OUT_OF_MEMORY, f"{who} was killed ({name}) without another trace: most likely host memory", words
        )
    return Finding(Cause.SIGNAL, f"{who} was ended by {name}", words)


def _on_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL else f"{line[: _DETAIL - 1]}…"
