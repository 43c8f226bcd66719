"""How submissions are judged: the keywords that all judging methods of a sandbox and of its clients share."""

from __future__ import annotations

from typing import Literal, TypedDict

Isolation = Literal["submission", "test"]
OnHostFailure = Literal["raise", "return"]


class JudgeOptions(TypedDict, total=False):
    """Keywords of `judge` and the methods named after it."""

    stop_on_first_failure: bool
    """The tests after the first that fails are SKIPPED. Default: False."""
    isolate: Isolation
    """`submission`, the default: one candidate runs all tests, a fresh one follows each that died; `test`: each test
    has its own."""
    on_host_failure: OnHostFailure
    """`raise`, the default: InfrastructureError, which ends a batch; `return`: a result with verdict IE, which is no
    reward, as it says nothing about the program."""
