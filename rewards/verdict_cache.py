"""Results that would come out the same again, kept so that a program written twice is judged once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import NamedTuple

from sandbox.checker import Compare
from sandbox.limits import Limits
from sandbox.messages import definition
from sandbox.per_problem import PerProblem
from sandbox.problem import Problem
from sandbox.result import JudgeResult
from sandbox.verdict import Verdict

_KEPT = frozenset({Verdict.AC, Verdict.WA, Verdict.RE, Verdict.CE, Verdict.OLE, Verdict.NO_CODE})
_BY_CHANCE = frozenset({Verdict.TLE, Verdict.MLE, Verdict.IE})
"""These depend on the machine and on what else it does."""


class Key(NamedTuple):
    """All that a verdict depends on: two submissions with the same key are the same."""

    program: bytes | None
    """Digest of the code; None for no code."""
    judged_by: str
    """Digest of kind, tests, prelude, entry point and checker."""
    language: str
    limits: Limits


class VerdictCache:
    """The results used last. Thread-safe. A copy sent to another process begins empty.

    Args:
        size: how many results; 0 keeps none.

    Raises:
        ValueError: `size` is negative.
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"cache_size is {size}; it must be at least 0, which turns it off")
        self._size = size
        self._results: OrderedDict[Key, JudgeResult] = OrderedDict()
        self._digests = PerProblem(lambda problem: definition(problem)[0])  # of many tests, and asked for often
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[VerdictCache], tuple[int]]:
        return VerdictCache, (self._size,)

    def __len__(self) -> int:
        return len(self._results)

    def key(self, problem: Problem, code: str | None) -> Key | None:
        """By which a result is found; None where none may be kept.

        None for problems with a checker program: its own time-outs reject too, and the verdict does not tell.
        """
        if not self._size or (problem.checker is not None and problem.checker.compare is Compare.PROGRAM):
            return None
        program = None if code is None else hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
        return Key(program, self._digests.of(problem), problem.language, problem.limits)

    def get(self, key: Key | None) -> JudgeResult | None:
        """The result known for a key."""
        if key is None:
            return None
        with self._lock:
            found = self._results.get(key)
            if found is not None:
                self._results.move_to_end(key)
            return found

    def add(self, key: Key | None, result: JudgeResult) -> bool:
        """Whether the result stands for every submission with this key; it is kept then."""
        if key is None or not is_deterministic(result):
            return False
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            if len(self._results) > self._size:
                self._results.popitem(last=False)
        return True


def is_deterministic(result: JudgeResult) -> bool:
    """Whether neither the verdict nor that of any test depends on time, memory or the host."""
    return result.verdict in _KEPT and not any(test.verdict in _BY_CHANCE for test in result.tests)
