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


class _Held(NamedTuple):
    problem: Problem
    size: int


class Problems:
    """A bounded store; what was used longest ago makes room. A client whose problem is gone sends it again.

    Args:
        capacity: bytes of problems, as JSON.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def put(self, records: Sequence[ProblemRecord]) -> list[str]:
        """Holds problems, all or none; their keys, in order.

        Raises:
            ProblemError: one could not judge any program.
            TooLargeError: together they are more than may be held.
        """
        checked = [(key_of(record), _checked(record), _size_of(record)) for record in records]
        total = sum(size for _, _, size in checked)
        if total > self._capacity:
            raise TooLargeError("bytes of problems", total, self._capacity)
        for key, problem, size in checked:
            if key not in self._held:
                self._held[key] = _Held(problem, size)
                self._size += size
            self._held.move_to_end(key)
        while self._size > self._capacity:
            _, dropped = self._held.popitem(last=False)
            self._size -= dropped.size
        return [key for key, _, _ in checked]

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
    try:
        problem = record.to_problem()
    except ValueError as error:
        raise ProblemError(record.id, "", str(error)) from None
    check_syntax(problem)
    check_entry_point(problem)
    return problem


def _size_of(record: ProblemRecord) -> int:
    tests = sum(len(test) if isinstance(test, str) else len(test.stdin) + len(test.stdout) for test in record.tests)
    return tests + len(record.prelude) + 1000  # the objects themselves
