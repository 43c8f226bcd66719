"""Run and judge untrusted programs without root."""

from sandbox.checker import Checker, Compare, Order
from sandbox.errors import (
    ClosedError,
    InfrastructureError,
    ProblemError,
    RecordError,
    SandboxError,
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

__all__ = [
    "Checker",
    "ClosedError",
    "Compare",
    "InfrastructureError",
    "JudgeResult",
    "Kind",
    "Level",
    "Limits",
    "Order",
    "Problem",
    "ProblemError",
    "RecordError",
    "RunResult",
    "Sandbox",
    "SandboxError",
    "StdioTest",
    "Surroundings",
    "TestResult",
    "UnsupportedHostError",
    "UnsupportedLanguageError",
    "Verdict",
]
