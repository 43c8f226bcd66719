"""Finds the Python error that has ended a job, in what all of its processes have printed.

Of one process that is the last. Of many, as torchrun and accelerate start them, the first: the others fail because a
peer has gone, and the launcher because its workers have. Errors that a program has survived lie further up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slurm.experiments.log_tail import shortened

_LINES = 12
_MESSAGE = 3
"""Lines of a message beyond its first."""
_FRAME = 5
"""Lines of an error without a traceback."""
_STRANGE = 4
"""Lines of others that may come between a traceback's frames."""
_GAP = 60
"""Lines between errors of one failure, at most: other ranks' output, a launcher's."""
_PREFIX = re.compile(
    r"(?:\[(?:rank|default)\d+\]: ?| ?\d+: |\(\w+ pid=\d+[^)]*\) ?"
    r"|ERROR [\d-]{5} [\d:]{8} \[[\w./]+:\d+\] ?)*"
)
"""Of torch (`[rank1]: `), torchrun --tee (`[default1]:`), srun --label (`1: `), processes of Ray and vLLM."""
_RANK = re.compile(r"\[(?:rank|default)(\d+)\]|(\d+): ")
_HEADER = "Traceback (most recent call last):"
_CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_ERROR = re.compile(r"[A-Za-z_][\w.<>]*(?:: .*|:)?")
_SYNTAX = re.compile(r"(?:SyntaxError|IndentationError|TabError): ")
_FOLLOWS = re.compile(
    r".*\b(?:ChildFailedError|CalledProcessError|DistBackendError|DistNetworkError|DistStoreError|SignalException"
    r"|Rendezvous\w*Error|ProcessRaisedException|ProcessExitedException|ConnectionResetError|BrokenPipeError|EOFError"
    r"|KeyboardInterrupt|SystemExit)\b"
    r"|.*(?:Connection closed by peer|Connection reset by peer|gloo/transport|NCCL error|Broken pipe|Socket Timeout"
    r"|Engine core (?:proc|init)|See root cause above)"
)
"""Errors that a process has because another has failed, or because it was told to end."""
_ROOT = re.compile(r"Root Cause \(first observed failure\):.*?\brank\s*: (\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PythonError:
    """As Python prints it."""

    line: str
    """`ValueError: loss is nan`: the first line of its message."""
    words: str
    """The end of its traceback."""
    chain: str
    """All of it, with the errors that it was raised from."""
    start: int
    end: int
    """Numbers of its lines in the text."""
    rank: str
    """Of the process that has printed it, where that is said."""

    @property
    def is_consequence(self) -> bool:
        """Another process tells more."""
        return _FOLLOWS.match(self.line) is not None


def root_error(text: str) -> PythonError | None:
    """The error that explains the others; None where there is none."""
    first = min((place for place in (text.find(_HEADER), _syntax_error(text)) if place >= 0), default=-1)
    if first < 0:
        return None
    lines = text.split("\n")
    before = max(text.count("\n", 0, first) - _FRAME, 0)  # what is further up is no part of an error
    streams: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(lines[before:], before):
        prefix = _PREFIX.match(line)
        length = prefix.end() if prefix else 0
        streams.setdefault(line[:length].strip(), []).append((number, line[length:].rstrip()))
    errors = sorted(
        (error for prefix, stream in streams.items() for error in _errors(prefix, stream)), key=lambda error: error.end
    )
    if not errors:
        return None
    last = errors[-1]
    if not last.is_consequence and not last.rank:
        return last
    burst = _burst(errors)
    roots = [error for error in burst if not error.is_consequence] or burst
    named = _ROOT.findall(text)
    return next(
        (error for error in roots if named and error.rank == named[-1]),
        next((error for error in roots if error.rank), roots[0]),
    )


def _syntax_error(text: str) -> int:
    matched = _SYNTAX.search(text)
    return -1 if matched is None else matched.start()


def _burst(errors: Sequence[PythonError]) -> list[PythonError]:
    """Those of the last failure, the first one first."""
    found = [errors[-1]]
    for error in reversed(errors[:-1]):
        if min(other.start for other in found) - error.end > _GAP:
            break
        found.append(error)
    return found[::-1]


def _errors(prefix: str, stream: Sequence[tuple[int, str]]) -> Iterator[PythonError]:
    matched = _RANK.search(prefix + " ")
    rank = "" if matched is None else matched[1] or matched[2]
    place, chain = 0, 0
    is_chained = False
    while place < len(stream):
        text = stream[place][1]
        if _HEADER in text:
            end = _last_line(stream, place)
            if end == place:  # cut off, or torn by what others print
                place += 1
                continue
        elif _SYNTAX.match(text):  # of a script that could not be read: it has no header
            end = place
        else:
            place += 1
            continue
        start = place if end > place else _first_line(stream, place)
        chain = chain if is_chained else start
        following = next((line for _, line in stream[end + 1 : end + 4] if line), "")
        is_chained = following in _CHAINED
        if not is_chained:
            yield _error(stream, chain, start, end, rank)
        place = end + 1


def _last_line(stream: Sequence[tuple[int, str]], header: int) -> int:
    """Of a traceback: the line that names the error; its header's where there is none."""
    strange = 0
    for place in range(header + 1, len(stream)):
        text = _bare(stream[place][1])
        if _HEADER in text or strange > _STRANGE:
            break
        if text and not text[0].isspace():
            if _ERROR.fullmatch(text):
                return place
            strange += 1
    return header


def _first_line(stream: Sequence[tuple[int, str]], last: int) -> int:
    """Of an error without a header."""
    for place in range(last, max(last - _FRAME, -1), -1):
        if stream[place][1].startswith('  File "'):
            return place
    return last


def _bare(text: str) -> str:
    """Without the frame of an exception group."""
    return text.removeprefix("  | ")


def _error(stream: Sequence[tuple[int, str]], chain: int, start: int, end: int, rank: str) -> PythonError:
    more = 0
    for _, text in stream[end + 1 : end + 1 + _MESSAGE]:
        if not text or _HEADER in text or not (text[0].isspace() or text[0] in "(["):
            break
        more += 1
    words = [text for _, text in stream[start : end + 1 + more]]
    before, header, _ = words[0].partition(_HEADER)
    if header and not before.strip().endswith("Group"):  # it follows a progress bar on its line
        words[0] = header
    return PythonError(
        line=_bare(stream[end][1]).strip(),
        words="\n".join(map(shortened, words[-_LINES:])),
        chain="\n".join(text for _, text in stream[chain : end + 1 + more]),
        start=stream[start][0],
        end=stream[end][0],
        rank=rank,
    )
