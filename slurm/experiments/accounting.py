"""What sacct says of jobs, where a cluster keeps accounts."""

from __future__ import annotations

import pwd
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from slurm.commands import call_slurm
from slurm.errors import SlurmError
from slurm.experiments.job_ids import in_calls

_FIELDS = ("JobID", "State", "ExitCode", "ElapsedRaw", "NodeList", "Reason")
"""Source: sacct(1) of 20.11 to 24.05. Restarts is not among them: older ones refuse fields that they do not know."""
_NONE = frozenset({"", "None", "None assigned", "Unknown", "(null)"})
_CLOCKS_S = 86400.0
"""What clocks and time zones of two machines may differ by."""
_CANCELLER = re.compile(r"CANCELLED by (\d+)")


@dataclass(slots=True, kw_only=True)
class Record:
    """Of one run of a job: it has another each time that it is queued again."""

    job: str
    state: str
    """As squeue's %T, in capitals; OUT_OF_MEMORY also where only a step was."""
    code: int | None = None
    """As `Ended.code`."""
    node: str = ""
    elapsed_s: float | None = None
    reason: str = ""
    canceller: str = ""
    """Name of the user that has cancelled it."""
    steps: list[str] = field(default_factory=list)
    """States of its steps."""


def records_of(jobs: Iterable[str]) -> dict[str, list[Record]]:
    """Their runs, oldest first, by the job. Without accounting, or an answer, there are none: no error."""
    found: dict[str, list[Record]] = {}
    for ids in in_calls(jobs):
        try:
            text = call_slurm(
                "sacct",
                "--noheader",
                "--parsable2",
                "--duplicates",
                "--allusers",
                f"--format={','.join(_FIELDS)}",
                f"--jobs={ids}",
                is_patient=False,
            )
        except SlurmError:
            return found
        read(text, found)
    return found


def job_named(name: str, since_s: float) -> str | None:
    """The number of the job, or array, of a name; None: there is none, or no accounting.

    Args:
        name: one that no two jobs have.
        since_s: when it can have been submitted at the earliest, s since 1970.
    """
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since_s - _CLOCKS_S))
    try:
        text = call_slurm(
            *("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID"),
            *(f"--name={name}", f"--starttime={since}"),
            is_patient=False,
        )
    except SlurmError:
        return None
    matched = re.match(r"\d+", text.strip())
    return None if matched is None else matched[0]


def read(text: str, found: dict[str, list[Record]]) -> None:
    """Adds what sacct has printed. Each job is followed by its steps; lines that cannot be read are passed over."""
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) < len(_FIELDS):
            continue
        job, state, code, elapsed, node, reason = (cell.strip() for cell in cells[: len(_FIELDS)])
        name, dot, _ = job.partition(".")
        if not dot:
            record = _record(name, state, code, elapsed, node, reason)
            found.setdefault(name, []).append(record)
        elif name in found:
            _add_step(found[name][-1], state, code)


def _record(job: str, state: str, code: str, elapsed: str, node: str, reason: str) -> Record:
    matched = _CANCELLER.match(state)
    return Record(
        job=job,
        state=_word(state),
        code=_code(code),
        node="" if node in _NONE else node,
        elapsed_s=float(elapsed) if elapsed.isdecimal() else None,
        reason="" if reason in _NONE else reason,
        canceller="" if matched is None else _name(int(matched[1])),
    )


def _add_step(record: Record, state: str, code: str) -> None:
    """Slurm notes a lack of memory sometimes for the job, sometimes for one of its steps."""
    word = _word(state)
    record.steps.append(word)
    if word == "OUT_OF_MEMORY" and record.state == "FAILED":
        record.state = word
    if record.state == "FAILED" and record.code in {None, 0}:
        record.code = _code(code)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _word(state: str) -> str:
    """`CANCELLED by 1000`, and `CANCELLED+` where a column was too narrow."""
    return state.partition(" ")[0].rstrip("+").upper()


def _code(text: str) -> int | None:
    """Of `1:0`, or `0:9`: exit code and signal."""
    code, colon, number = text.partition(":")
    if not (colon and code.isdecimal() and number.isdecimal()):
        return None
    return -int(number) if int(number) else int(code)
