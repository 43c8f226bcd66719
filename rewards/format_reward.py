"""A reward for the form of a completion alone: that it holds a program, and that it compiles."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rewards.batch import Judge
from rewards.execution import ExecutionReward
from rewards.reward_function import AsyncReward, Completions
from rewards.shapes import compiles
from sandbox.extraction import Which
from sandbox.limits import Limits
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.worker.languages import PYTHON

_LIMITS: Final = Limits(cpu_s=1.0, idle_s=0.2)
"""What has compiled is also started, and what it does then is of no interest."""


class FormatReward:
    """1 where a completion holds a code block that compiles, else 0; a reward function of TRL that needs no column.

    It compiles in the sandbox, as a source may be made to bring down what compiles it. Where an `ExecutionReward`
    judges the same completions, `mixed((0.9, fraction), (0.1, compiles))` as its `reward` does it without a second run.

    Attributes:
        asynchronous: the same reward as an asynchronous function of TRL.
    """

    def __init__(
        self,
        *,
        sandbox: Judge | None = None,
        workers: int | None = None,
        language: str = PYTHON,
        which: Which = "last",
        timeout_s: float | None = None,
    ) -> None:
        """Builds it; `language` is that of the programs, all else as for `ExecutionReward`."""
        stand_in = Problem(
            id="format", kind=Kind.STDIO, tests=(StdioTest(stdin="", stdout=""),), language=language, limits=_LIMITS
        )
        self._problem_id = stand_in.id
        self._execution = ExecutionReward(
            [stand_in],
            sandbox=sandbox,
            workers=workers,
            reward=compiles,
            which=which,
            timeout_s=timeout_s,
            name="format",
        )
        self.__name__ = "format"
        self.asynchronous = AsyncReward(self.call_async, self.__name__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the sandbox if it is this object's own; the next completion would start another."""
        self._execution.close()

    def __call__(
        self,
        prompts: Sequence[object],
        completions: Completions,
        **columns: object,  # noqa: ARG002  # TRL passes them by name
    ) -> list[float | None]:
        """Rewards as TRL asks for them; None where the host failed or the time was over."""
        return self._execution(prompts, completions, [self._problem_id] * len(completions))

    async def call_async(
        self,
        prompts: Sequence[object],
        completions: Completions,
        **columns: object,  # noqa: ARG002  # TRL passes them by name
    ) -> list[float | None]:
        """The same without blocking the event loop."""
        return await self._execution.call_async(prompts, completions, [self._problem_id] * len(completions))
