"""The problems that a server holds, by the hash of their content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sandbox.errors import ProblemError
from sandbox.problem import Problem
from sandbox.records import ProblemRecord
from sandbox.server.errors import TooLargeError, UnknownProblemsError
from sandbox.syntax import check_entry_point, check_syntax
from sandbox.wire import key_of


class Checked(NamedTuple):
    """A problem that may be held."""

    key: str
    problem: Problem
    size: int
    """Bytes, about."""


def check(records: Sequence[ProblemRecord]) -> list[Checked]:
    """Checks problems, which takes a while for many.

    Raises:
        ProblemError: one could not judge any program.
    """
    return [Checked(key_of(record), _checked(record), _size_of(record)) for record in records]


class Problems:
    """A bounded store; what was used longest ago makes room. A client whose problem is gone sends it again.

    Args:
        capacity: bytes of problems, as JSON.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: OrderedDict[str, Checked] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def hold(self, problems: Sequence[Checked]) -> list[str]:
        """Holds problems, all or none; their keys, in order.

        Raises:
            TooLargeError: together they are more than may be held.
        """
        total = sum(problem.size for problem in problems)
        if total > self._capacity:
            raise TooLargeError("bytes of problems", total, self._capacity)
        for problem in problems:
            if problem.key not in self._held:
                self._held[problem.key] = problem
                self._size += problem.size
            self._held.move_to_end(problem.key)
        while self._size > self._capacity:
            _, dropped = self._held.popitem(last=False)
            self._size -= dropped.size
        return [problem.key for problem in problems]

    def find(self, key: str) -> Problem | None:
        """The problem of a key; None where it is not here."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held.problem

    def get(self, keys: Iterable[str]) -> dict[str, Problem]:
        """Problems by key.

        Raises:
            UnknownProblemsError: some are not here.
        """
        wanted = dict.fromkeys(keys)
        missing = [key for key in wanted if key not in self._held]
        if missing:
            raise UnknownProblemsError(missing)
        for key in wanted:
            self._held.move_to_end(key)
        return {key: self._held[key].problem for key in wanted}


def _checked(record: ProblemRecord) -> Problem:
    """Without what the judge does not read."""
    try:
        problem = record.model_copy(update={"prompt": "", "answer_start": "", "meta": {}}).to_problem()
    except ValueError as error:
        raise ProblemError(record.id, "", str(error)) from None
    check_syntax(problem)
    check_entry_point(problem)
    return problem


def _size_of(record: ProblemRecord) -> int:
    tests = sum(len(test) if isinstance(test, str) else len(test.stdin) + len(test.stdout) for test in record.tests)
    checker = record.checker.program if record.checker is not None else None
    texts = (record.id, record.prelude, record.entry_point or "", checker or "")
    return tests + sum(map(len, texts)) + 100 * len(record.tests) + 1000  # the objects themselves
