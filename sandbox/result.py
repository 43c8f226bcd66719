"""What the sandbox answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run of a program with nothing to compare."""

    verdict: Verdict
    """AC: exited with status 0 within the limits."""
    stdout: bytes
    stderr: bytes
    exit_code: int | None
    """None: killed by a signal."""
    message: str
    """Why the verdict is not AC, in a sentence; empty for AC."""
    cpu_s: float
    """CPU time of the process tree, user and system, s."""
    wall_s: float
    peak_memory_bytes: int
    enforcement: str
    """The level of isolation, measured when the slot started."""
    signal: int | None = None
    """What killed it, where something did."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Those asked for by `Surroundings.fetch` that it left, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One test of a submission."""

    verdict: Verdict
    message: str
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeResult:
    """All tests of a submission."""

    verdict: Verdict
    """The strongest verdict among the tests; see `sandbox.verdict`."""
    passed: int
    total: int
    tests: tuple[TestResult, ...]
    message: str
    """Why the verdict is not AC: that of the first failing test."""
    cpu_s: float
    wall_s: float
    peak_memory_bytes: int
    enforcement: str
    tamper_proof: bool
    """False where tests share the program's interpreter: problems of kind `shared`."""

    @property
    def pass_rate(self) -> float:
        """Fraction of tests passed, in [0, 1]."""
        return self.passed / self.total
