"""How what a program wrote or returned is compared with what is expected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

_Member = TypeVar("_Member", bound=StrEnum)


class Compare(StrEnum):
    """What counts as equal."""

    EXACT = "exact"
    """Character for character; returned values by Python's `==`."""
    TOKENS = "tokens"
    """White space only separates; in returned values that holds for strings."""
    FLOATS = "floats"
    """`stdio`: as tokens, but where a number with a fraction or exponent is expected, any within a tolerance; expected
    integers are met exactly. `function`: two numbers of which one is a float are equal within a tolerance. NaN equals
    nothing."""
    PROGRAM = "program"
    """A program of the problem's author decides; for `stdio` only."""


class Order(StrEnum):
    """Which order counts."""

    KEPT = "kept"
    """Every order."""
    ANY = "any"
    """Not that of the lines; in returned values not that of the outermost list or tuple."""
    ANY_NESTED = "any_nested"
    """Nor that of the tokens of a line; nor that of any list or tuple inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """A comparison. Checked when built.

    Raises:
        ValueError: a field is out of range, or has no meaning beside the others.
    """

    compare: Compare
    """What counts as equal."""
    abs_tol: float = 1e-6
    """`floats`: a number is right when it is off by no more than this, ..."""
    rel_tol: float = 1e-6
    """... or by no more than this part of the larger of the two, < 1."""
    ignore_case: bool = False
    """Whether texts are compared after `str.casefold`."""
    order: Order = Order.KEPT
    """Which order counts."""
    program: str | None = None
    """`program`: Python source. It runs in a sandbox of its own once per test, with `input.txt`, `output.txt` and
    `answer.txt` in its working folder and these names as arguments. Exit status 0 accepts, 1 and 2 reject."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "compare", _member(Compare, "compare", self.compare))
        object.__setattr__(self, "order", _member(Order, "order", self.order))
        for name, bound in (("abs_tol", float("inf")), ("rel_tol", 1.0)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < bound:
                what = "finite" if bound > 1 else "less than 1, where 0 would be right for every number"
                raise ValueError(f"Checker.{name} is {value!r}; it must be a number, at least 0 and {what}")
        if type(self.ignore_case) is not bool:
            raise ValueError(f"Checker.ignore_case is {self.ignore_case!r}; it must be True or False")
        if self.compare is not Compare.PROGRAM:
            if self.program is not None:
                raise ValueError(f"Checker.program is given, but compare is {self.compare.value!r}, not 'program'")
        elif not isinstance(self.program, str) or not self.program.strip():
            raise ValueError("Checker.program is missing; compare 'program' needs the source of a checker program")
        elif self.ignore_case or self.order is not Order.KEPT:
            raise ValueError("Checker.ignore_case and Checker.order mean nothing where a program compares")


def _member(kind: type[_Member], name: str, value: object) -> _Member:
    try:
        return kind(value)  # type: ignore[arg-type]  # whatever it is: it is looked up
    except ValueError:
        raise ValueError(f"Checker.{name} is {value!r}; known are {', '.join(kind)}") from None
