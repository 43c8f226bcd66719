"""Run and judge untrusted programs without root."""

from typing import TYPE_CHECKING

from sandbox.checker import Checker, Compare, Order
from sandbox.errors import (
    ClosedError,
    IncompatibleServerError,
    InfrastructureError,
    LimitsRefusedError,
    OversizedError,
    ProblemError,
    RecordError,
    RefusedError,
    SandboxError,
    TokenRefusedError,
    UnreachableError,
    UnsupportedHostError,
    UnsupportedLanguageError,
)
from sandbox.level import Level
from sandbox.limits import Limits
from sandbox.pool import Sandbox
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.result import JudgeResult, RunResult, TestResult
from sandbox.surroundings import Surroundings
from sandbox.verdict import Verdict

if TYPE_CHECKING:
    from sandbox.client import AsyncSandboxClient, SandboxClient

__all__ = [
    "AsyncSandboxClient",
    "Checker",
    "ClosedError",
    "Compare",
    "IncompatibleServerError",
    "InfrastructureError",
    "JudgeResult",
    "Kind",
    "Level",
    "Limits",
    "LimitsRefusedError",
    "Order",
    "OversizedError",
    "Problem",
    "ProblemError",
    "RecordError",
    "RefusedError",
    "RunResult",
    "Sandbox",
    "SandboxClient",
    "SandboxError",
    "StdioTest",
    "Surroundings",
    "TestResult",
    "TokenRefusedError",
    "UnreachableError",
    "UnsupportedHostError",
    "UnsupportedLanguageError",
    "Verdict",
]


def __getattr__(name: str) -> object:
    """The clients, whose HTTP library is loaded only for who uses them."""
    if name in {"AsyncSandboxClient", "SandboxClient"}:
        from sandbox import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
