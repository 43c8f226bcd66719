"""How submissions are judged: what all judging methods of a sandbox and of its clients take."""

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


def check_options(isolate: object, on_host_failure: object) -> None:
    """Raises ValueError where an option has no such value."""
    if isolate not in ("submission", "test"):
        raise ValueError(f"isolate is {isolate!r}; it must be 'submission' or 'test'")
    if on_host_failure not in ("raise", "return"):
        raise ValueError(f"on_host_failure is {on_host_failure!r}; it must be 'raise' or 'return'")


def check_text(name: str, value: object) -> None:
    """Raises TypeError: what is no text would look like a program that fails, or a host that does."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r:.80}; it must be text")


def stdin_bytes(stdin: object) -> bytes:
    """What a program reads; raises TypeError where it is neither text nor bytes."""
    if isinstance(stdin, str):
        return stdin.encode("utf-8", "surrogateescape")
    if isinstance(stdin, bytes):
        return stdin
    raise TypeError(f"stdin is {stdin!r:.80}; it must be text or bytes")
