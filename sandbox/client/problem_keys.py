"""Problems as servers know them: by the hash of their content."""

from __future__ import annotations

from dataclasses import replace

from pydantic_core import PydanticSerializationError

from sandbox.errors import ProblemError
from sandbox.problem import Problem
from sandbox.records import ProblemRecord
from sandbox.syntax import check_syntax
from sandbox.wire import key_of

_MOST = 4096


class KnownProblem:
    """A problem and its key.

    Raises:
        ProblemError: UTF-8 cannot carry it, which no server can be sent then.
    """

    __slots__ = ("key", "problem")

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        try:
            self.key = key_of(self._record())
        except PydanticSerializationError as error:
            check_syntax(problem)  # says what is wrong with test code that is no text, as judging it would
            raise ProblemError(problem.id, "", f"it holds what UTF-8 cannot carry: {error}") from None

    @property
    def id(self) -> str:
        """The problem's own."""
        return self.problem.id

    def body(self) -> bytes:
        """What a server is sent: no more than it judges by."""
        return self._record().model_dump_json(exclude_defaults=True).encode()

    def error(self, message: str, field: str) -> ProblemError:
        """What a server says of the problem, as the sandbox says it."""
        reason = message.removeprefix(f"problem {_sendable(self.id)!r}: ")
        return ProblemError(self.id, field, reason.removeprefix(f"{field}: ") if field else reason)

    def _record(self) -> ProblemRecord:
        sent = replace(self.problem, id=_sendable(self.problem.id), prompt="", answer_start="", meta={})
        return ProblemRecord.from_problem(sent)


class ProblemKeys:
    """The keys of problems, computed once while the object lives."""

    def __init__(self) -> None:
        self._known: dict[int, KnownProblem] = {}

    def of(self, problem: Problem) -> KnownProblem:
        """The problem and its key. Raises ProblemError as `KnownProblem`."""
        known = self._known.get(id(problem))
        if known is None or known.problem is not problem:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[id(problem)] = KnownProblem(problem)
        return known


def _sendable(problem_id: str) -> str:
    """An id that a record may have; results do not depend on it."""
    return problem_id.encode("utf-8", "backslashreplace").decode() or "-"
