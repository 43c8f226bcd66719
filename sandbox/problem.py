"""A problem: what a program is asked to do and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.checker import Checker, Compare
from sandbox.limits import Limits
from sandbox.worker.languages import PYTHON, check_known


class Kind(StrEnum):
    """How the tests of a problem are run."""

    FUNCTION = "function"
    """Test code calls names of the program; it runs in the judge, the calls in the candidate."""
    STDIO = "stdio"
    """The program reads stdin and writes stdout."""
    SHARED = "shared"
    """Program and tests (unittest, mocks) share one module and interpreter; its results are not tamper-proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StdioTest:
    """One run of a `stdio` problem.

    Raises:
        ValueError: a field is no text.
    """

    stdin: str
    stdout: str

    def __post_init__(self) -> None:
        for name in ("stdin", "stdout"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"StdioTest.{name} is {getattr(self, name)!r:.80}; it must be text")


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Problem:
    """A problem as the judge needs it, with its prompt.

    Raises:
        ValueError: there are no tests, or their type, the language or the checker does not fit `kind`.
    """

    id: str
    prompt: str = ""
    """What the model is shown; the judge does not read it."""
    answer_start: str = ""
    """What the model's answer is begun with, such as "```python\\ndef add(a, b):"; a completion continues it, and the
    program is taken from both together. The judge does not read it."""
    kind: Kind = Kind.FUNCTION
    tests: tuple[str, ...] | tuple[StdioTest, ...]
    """`function`: pieces of Python. A piece that defines `check(candidate)` is called with the entry point and
    each statement of its body that asserts is one test; in any other piece each top-level statement that
    asserts is one. `stdio`: one StdioTest per test. `shared`: pieces of Python; each method of a unittest.TestCase and
    each function `test_*` is one test, and in a piece without these each statement as for `function`."""
    prelude: str = ""
    """Python (imports, helper classes such as ListNode) that runs before the program and before the tests."""
    language: str = PYTHON
    """What programs are written in: `python`, or for kind `stdio` any of `sandbox.worker.languages.NAMES`."""
    entry_point: str | None = None
    """Expression in the program's names that `check` receives, e.g. `add` or `Solution().add`."""
    checker: Checker | None = None
    """How `stdio` outputs, and values compared by `==` or `!=` in an `assert` of a `function` test, are compared.
    None: `stdio` by tokens, `function` by Python."""
    limits: Limits = field(default_factory=Limits)
    meta: Mapping[str, str] = field(default_factory=dict)
    """Anything a data set tells besides, e.g. topic, difficulty, split."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", Kind(self.kind))
        except ValueError:
            raise ValueError(f"problem {self.id!r}: kind is {self.kind!r}; known are {', '.join(Kind)}") from None
        given: object = self.tests
        if isinstance(given, str):
            raise ValueError(f"problem {self.id!r}: tests is a string; it must be a tuple of tests")
        object.__setattr__(self, "tests", tuple(self.tests))
        if not self.tests:
            raise ValueError(f"problem {self.id!r} has no tests; a program without tests cannot be judged")
        expected = StdioTest if self.kind is Kind.STDIO else str
        for index, test in enumerate(self.tests):
            if not isinstance(test, expected):
                raise ValueError(
                    f"problem {self.id!r}: test {index} is a {type(test).__name__}; "
                    f"kind {self.kind.value!r} takes {expected.__name__}"
                )
        self._check_language()
        if self.checker is None:
            return
        if not isinstance(self.checker, Checker):
            raise ValueError(f"problem {self.id!r}: checker is {self.checker!r}; it must be a sandbox.Checker or None")
        if self.kind is Kind.SHARED:
            raise ValueError(f"problem {self.id!r}: a checker means nothing for kind 'shared', whose tests compare")
        if self.checker.compare is Compare.PROGRAM and self.kind is not Kind.STDIO:
            raise ValueError(
                f"problem {self.id!r}: a checker program is for kind 'stdio'; test code can check returned values"
            )

    def _check_language(self) -> None:
        try:
            check_known(self.language)
        except ValueError as error:
            raise ValueError(f"problem {self.id!r}: {error}") from None
        if self.language != PYTHON and self.kind is not Kind.STDIO:
            raise ValueError(
                f"problem {self.id!r}: language is {self.language!r}, which needs kind 'stdio'; "
                f"kind {self.kind.value!r} is for python"
            )
