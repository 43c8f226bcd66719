"""Rewards from running programs: one object for batch scoring and for TRL's `reward_funcs`."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from rewards.batch import Batch, Judge, Submission
from rewards.reward_function import AsyncReward, Completions, LogExtra, LogMetric, text_of
from rewards.shapes import SHAPES, Shape, ShapeName
from rewards.verdict_cache import VerdictCache
from sandbox.extraction import Which, extract_code
from sandbox.messages import host_failed_result
from sandbox.pool import Sandbox
from sandbox.problem import Problem
from sandbox.result import JudgeResult
from sandbox.verdict import Verdict

log = logging.getLogger(__name__)
Progress = Callable[[int, "Scored"], None]
_starting = threading.Lock()
"""Held while a reward starts its sandbox: two batches at a time must not start two. Not an attribute: a reward is sent
to other processes."""


class Scored(NamedTuple):
    """A completion's reward and where it comes from."""

    reward: float | None
    """In [0, 1], unless a function of your own says otherwise. None: the verdict is IE, which says nothing about the
    program, because the host failed, retries included, or the batch's time was over."""
    result: JudgeResult


class ExecutionReward:
    """Judges the program in each completion and turns its tests into a reward.

    As a batch scorer, `score`; as a reward function of TRL (GRPOTrainer and others of its trainers), the object
    itself, or `asynchronous`: the data set needs a column `problem_id`. A context manager, which ends the sandbox that
    it started. Thread-safe.

    Attributes:
        asynchronous: the same reward as an asynchronous function, which TRL runs beside others of its kind.
    """

    def __init__(  # noqa: PLR0913  # each is a choice of its own, and all have defaults
        self,
        problems: Iterable[Problem],
        *,
        sandbox: Judge | None = None,
        workers: int | None = None,
        reward: ShapeName | Shape = "fraction",
        which: Which = "last",
        timeout_s: float | None = None,
        cache_size: int = 4096,
        name: str | None = None,
    ) -> None:
        """Builds it; processes start at the first completion, so that a copy per training process is cheap.

        Args:
            problems: all that `problem_id` may name.
            sandbox: judges and stays the caller's to close; a client of servers will do. None starts one when it is
                needed.
            workers: programs at a time in a sandbox of its own; None is as in `Sandbox`.
            reward: `fraction` of tests passed, `all`: 1 for AC, else 0, or a function; see `rewards.shapes`.
            which: block of a completion that is the program.
            timeout_s: for a whole batch; what is not judged by then has no reward. None: as long as it takes.
            cache_size: results kept, so that the same program is not judged again by the same tests and limits; those
                that time, memory or the host had a part in are not. 0: none, and each completion is judged for itself.
            name: TRL's metrics are named by it. None: `execution_fraction`, `execution_all` or, for a function,
                `execution`.

        Raises:
            ValueError: two problems share an id, `workers` is given beside a sandbox, or an option is unknown or out
                of range.
        """
        if isinstance(reward, str) and reward not in SHAPES:
            raise ValueError(f"reward is {reward!r}; it must be {', '.join(map(repr, SHAPES))} or a function")
        if sandbox is not None and workers is not None:
            raise ValueError(f"workers is {workers} but a sandbox is given; its own workers count")
        if timeout_s is not None and not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}; it must be greater than 0, or None for no limit")
        self._problems: dict[str, Problem] = {}
        for problem in problems:
            if problem.id in self._problems:
                raise ValueError(f"two problems have the id {problem.id!r}; ids must differ")
            self._problems[problem.id] = problem
        self._judge = sandbox
        self._workers = workers
        self._own: Sandbox | None = None
        self._shape: Shape = SHAPES[reward] if isinstance(reward, str) else reward
        self._which: Which = which
        self._timeout_s = timeout_s
        self._cache = VerdictCache(cache_size)
        self.__name__ = name or (f"execution_{reward}" if isinstance(reward, str) else "execution")
        self.asynchronous = AsyncReward(self.call_async, self.__name__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the sandbox if it is this object's own; the next completion would start another."""
        with _starting:
            own, self._own = self._own, None
        if own is not None:
            own.close()

    def score(self, completions: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Scored]:
        """Judges all completions, as many at a time as the sandbox has workers.

        Args:
            completions: problem id and text of each.
            progress: called with place and result of each as they finish, in this thread; what it raises ends the
                batch.

        Returns:
            One for each completion, in their order.

        Raises:
            ValueError: an id names no problem; nothing has been judged then.
            UnsupportedHostError: the sandbox cannot start here.
        """
        return self._scored(self._submissions(completions), progress, Batch(self._sandbox, self._timeout_s))

    async def score_async(
        self, completions: Sequence[tuple[str, str]], progress: Progress | None = None
    ) -> list[Scored]:
        """`score` without blocking the event loop; `progress` is called in another thread. Cancelling it stops it."""
        submissions = self._submissions(completions)
        batch = Batch(self._sandbox, self._timeout_s)
        # A thread of its own: the loop's shared ones may all be taken, and the time of the batch runs.
        executor = ThreadPoolExecutor(1, "reward-score")
        try:
            return await asyncio.get_running_loop().run_in_executor(
                executor, self._scored, submissions, progress, batch
            )
        finally:
            batch.stop()
            executor.shutdown(wait=False)

    def __call__(
        self,
        prompts: Sequence[object],  # noqa: ARG002  # TRL passes it by name
        completions: Completions,
        problem_id: Sequence[str | None],
        *,
        log_metric: LogMetric | None = None,
        log_extra: LogExtra | None = None,
        **columns: object,  # noqa: ARG002  # and these
    ) -> list[float | None]:
        """Rewards as TRL asks for them.

        Args:
            prompts: not used; the problem says what is to be done.
            completions: texts, or conversations whose last turn of the assistant counts.
            problem_id: of each completion; None is not for this reward and gets None.
            log_metric: receives the share of each verdict.
            log_extra: receives the verdict of each completion, for TRL's table of completions.
            **columns: others of the data set, and what TRL adds; not used.

        Returns:
            A reward for each completion; None, which TRL takes for no reward, also where `Scored.reward` is None.

        Raises:
            ValueError: an id names no problem.
            UnsupportedHostError: the sandbox cannot start here.
        """
        scored = self.score(_named_texts(completions, problem_id))
        return self._reported(scored, problem_id, log_metric, log_extra)

    async def call_async(
        self,
        prompts: Sequence[object],  # noqa: ARG002  # as above
        completions: Completions,
        problem_id: Sequence[str | None],
        *,
        log_metric: LogMetric | None = None,
        log_extra: LogExtra | None = None,
        **columns: object,  # noqa: ARG002  # as above
    ) -> list[float | None]:
        """The call without blocking the event loop."""
        scored = await self.score_async(_named_texts(completions, problem_id))
        return self._reported(scored, problem_id, log_metric, log_extra)

    def _reported(
        self,
        scored: Sequence[Scored],
        problem_id: Sequence[str | None],
        log_metric: LogMetric | None,
        log_extra: LogExtra | None,
    ) -> list[float | None]:
        """The reward of each completion, after what is to be told of them has been."""
        if log_metric is not None and scored:
            counts = Counter(item.result.verdict for item in scored)
            for verdict in Verdict:
                log_metric(f"{self.__name__}/{verdict.value}", counts[verdict] / len(scored))
        self._warn(scored)
        rest = iter(scored)
        placed = [None if name is None else next(rest) for name in problem_id]
        if log_extra is not None:
            log_extra("verdict", [None if item is None else item.result.verdict.value for item in placed])
        return [None if item is None else item.reward for item in placed]

    def _warn(self, scored: Sequence[Scored]) -> None:
        """TRL tells of one completion without a reward and not why; it trains on with an advantage of 0 for each."""
        without = [item for item in scored if item.reward is None]
        if without:
            all_of_them = ", so that nothing can be learnt from this batch" if len(without) == len(scored) else ""
            log.warning(
                "%s: %d of %d completions have no reward%s; the first: %s",
                *(self.__name__, len(without), len(scored), all_of_them, without[0].result.message),
            )

    def _submissions(self, completions: Sequence[tuple[str, str]]) -> list[Submission]:
        unknown = {problem_id for problem_id, _ in completions} - self._problems.keys()
        if unknown:
            raise ValueError(f"no problem has the id {min(unknown)!r}; {len(self._problems)} are known")
        problems = [self._problems[name] for name, _ in completions]
        return [
            (problem, extract_code(text, self._which, problem.language))
            for problem, (_, text) in zip(problems, completions, strict=True)
        ]

    def _scored(self, submissions: list[Submission], progress: Progress | None, batch: Batch) -> list[Scored]:
        scored: dict[int, Scored] = {}
        try:
            for place, result in batch.results(submissions, self._cache):
                scored[place] = self._valued(submissions[place][0], result)
                if progress is not None:
                    progress(place, scored[place])
        finally:
            batch.stop()
        for place in range(len(submissions)):
            if place not in scored:
                scored[place] = self._too_late(submissions[place][0])
                if progress is not None:
                    progress(place, scored[place])
        return [scored[place] for place in range(len(submissions))]

    def _valued(self, problem: Problem, result: JudgeResult) -> Scored:
        if result.verdict is Verdict.IE:
            return Scored(None, result)
        return Scored(float(self._shape(problem, result)), result)

    def _too_late(self, problem: Problem) -> Scored:
        message = f"the batch was not judged within its {self._timeout_s} s"
        return Scored(None, host_failed_result(problem, "", message))

    def _sandbox(self) -> Judge:
        if self._judge is not None:
            return self._judge
        with _starting:
            if self._own is None:
                self._own = Sandbox(workers=self._workers)
            return self._own


def _named_texts(completions: Completions, problem_id: Sequence[str | None]) -> list[tuple[str, str]]:
    """Problem id and text of the completions that name a problem."""
    if len(problem_id) != len(completions):
        raise ValueError(f"{len(completions)} completions but {len(problem_id)} problem ids; give one for each")
    return [(name, text_of(completions[place])) for place, name in enumerate(problem_id) if name is not None]
