"""Verdicts and their precedence."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a program, in the words of programming contests.

    The members stand in order of precedence, the strongest first: the verdict
    of a submission is the strongest verdict among its tests.
    """

    IE = "IE"
    """Infrastructure error: the host failed, not the program. Never a reward."""
    NO_CODE = "NO_CODE"
    """The completion holds no code block."""
    CE = "CE"
    """The program does not compile."""
    MLE = "MLE"
    """Memory limit exceeded, counted over the process tree and its files."""
    TLE = "TLE"
    """CPU-time limit exceeded, or idle for longer than the idle guard."""
    OLE = "OLE"
    """Output limit exceeded."""
    RE = "RE"
    """Raised, exited early, or was killed by a signal."""
    WA = "WA"
    """Ran to its end with a wrong result."""
    SKIPPED = "SKIPPED"
    """Not run, because an earlier test failed and the caller asked to stop there."""
    AC = "AC"
    """Accepted."""


_PRECEDENCE = {verdict: rank for rank, verdict in enumerate(Verdict)}


def strongest(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a submission from those of its tests.

    Raises:
        ValueError: `verdicts` is empty; no test is no evidence, never AC.
    """
    return min(verdicts, key=_PRECEDENCE.__getitem__)
