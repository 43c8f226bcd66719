"""A checker program of a problem's author: run in a candidate of its own, after each program that ended well.

It is Python that reads `input.txt`, `output.txt` and `answer.txt` in its working folder, whose names are its
arguments, and exits with testlib's statuses: 0 accepts, 1 (wrong answer) and 2 (presentation) reject. Any other end is
a failure. What the program wrote may be the cause of one, so that a failure alone only rejects; where the checker fails
on the expected answer as well, the problem is of no use.
"""

from __future__ import annotations

import socket
from typing import Any, Dict, NamedTuple

from .outcome import Outcome, outcome_of
from .run import run_script, script
from .tests import TestCodeError

_REJECTED = (1, 2)
_FAILED = 3
_MAX_WORDS = 500
_CPU_S = 10.0
_MAX_TIMEOUTS = 3
"""Of the checker on one submission, which would hold its slot for as long in every test."""
_IDLE_S = 3.0
_MEMORY_BYTES = 1 << 30
_DISK_BYTES = 64 << 20
_PAGES = 1 << 16
"""By how much the files may be larger on disk than their contents."""

# An exception that nobody catches would end it with status 1, and reject.
_WRAPPER = (
    """
import sys, traceback
try:
    exec(compile(open("checker.py", encoding="utf-8").read(), "checker.py", "exec"))
except SystemExit:
    raise
except BaseException:
    traceback.print_exc(limit=-1)
    sys.exit(%d)
"""
    % _FAILED
)


class _End(NamedTuple):
    """How a run of the checker ended."""

    is_accepted: bool
    failure: str
    """Why nothing follows from it; empty where something does."""
    words: str
    """The beginning of what it wrote."""
    is_timeout: bool


class CheckerProgram:
    """The checker program of one problem, for one submission.

    Args:
        zygote: the zygote's socket.
    """

    def __init__(self, zygote: socket.socket, source: str) -> None:
        self._zygote = zygote
        self._source = source
        self._timeouts = 0

    def judge(self, stdin: str, output: bytes, expected: str) -> Outcome:
        """AC or WA, with the checker's own words.

        Raises:
            TestCodeError: the checker fails on the expected answer.
            InfrastructureFailure: the host could not run it.
        """
        if self._timeouts == _MAX_TIMEOUTS:
            return Outcome("WA", "not checked: earlier outputs kept the checker busy for too long")
        given, answer = (text.encode("utf-8", "surrogatepass") for text in (stdin, expected))
        end = self._run(given, output, answer)
        if end.is_accepted:
            return Outcome("AC", "")
        self._timeouts += end.is_timeout
        if not end.failure:
            return Outcome("WA", end.words or "the checker rejects the output")
        on_answer = self._run(given, answer, answer)
        if on_answer.failure:
            raise TestCodeError(
                "the checker fails on the expected answer %.40r itself: %s: %s"
                % (expected, on_answer.failure, on_answer.words)
            )
        return Outcome("WA", ("the checker could not judge the output: %s: %s" % (end.failure, end.words)).rstrip(": "))

    def _run(self, given: bytes, output: bytes, answer: bytes) -> _End:
        files = {"input.txt": given, "output.txt": output, "answer.txt": answer}
        payload = script(_WRAPPER, list(files), {**files, "checker.py": self._source.encode("utf-8", "surrogatepass")})
        done = run_script(self._zygote, _limits(sum(map(len, files.values()))), payload, b"")
        words = (done.stderr + done.stdout)[: 4 * _MAX_WORDS].decode("utf-8", "replace").strip()[:_MAX_WORDS]
        outcome = outcome_of(done.report, done.notice)
        if outcome is None:
            return _End(is_accepted=True, failure="", words=words, is_timeout=False)
        is_rejected = done.report.reason is None and done.report.exit_code in _REJECTED and not done.notice
        failure = "" if is_rejected else outcome.message
        return _End(is_accepted=False, failure=failure, words=words, is_timeout=outcome.verdict == "TLE")


def _limits(size: int) -> Dict[str, Any]:
    """Its own, generous and fixed but for the files, which lie in its memory several times."""
    return {
        "cpu_s": _CPU_S, "total_cpu_s": _CPU_S, "due_cpu_s": _CPU_S, "due_total_cpu_s": _CPU_S,
        "idle_s": _IDLE_S, "memory_bytes": _MEMORY_BYTES + 8 * size,
        "output_bytes": 16 << 20, "processes": 16, "disk_bytes": _DISK_BYTES + size + _PAGES, "open_files": 256,
    }  # fmt: skip
