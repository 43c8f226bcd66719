"""Rewards from running programs: one object for batch scoring and for TRL's `reward_funcs`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

from sandbox.errors import InfrastructureError
from sandbox.extraction import Which, extract_code
from sandbox.pool import Sandbox
from sandbox.problem import Problem
from sandbox.result import JudgeResult
from sandbox.verdict import Verdict

RewardName = Literal["fraction", "all"]
Message = Mapping[str, object]
"""A turn of a conversation: `role`, and `content` as text or as a list of blocks of which some are text."""


class Scored(NamedTuple):
    """A completion's reward and where it comes from."""

    reward: float
    """In [0, 1]."""
    result: JudgeResult


class Judge(Protocol):
    """What judges: a `Sandbox`, or anything with this method of it."""

    def judge_as_completed(
        self, submissions: Iterable[tuple[Problem, str | None]], /
    ) -> Iterator[tuple[int, JudgeResult]]:
        """Place and result of each submission, as they finish."""


class ExecutionReward:
    """Judges the program in each completion and turns its tests into a reward.

    As a batch scorer, `score`; as a reward function of TRL (GRPOTrainer and others of its trainers), the object
    itself: the data set needs a column `problem_id`. A host failure is no reward: `sandbox.InfrastructureError` passes
    through. A context manager, which ends the sandbox that it started.
    """

    def __init__(
        self,
        problems: Iterable[Problem],
        *,
        sandbox: Judge | None = None,
        workers: int | None = None,
        reward: RewardName = "fraction",
        which: Which = "last",
    ) -> None:
        """Builds it; processes start at the first completion, so that a copy per training process is cheap.

        Args:
            problems: all that `problem_id` may name.
            sandbox: judges and stays the caller's to close. None starts one when it is needed.
            workers: programs at a time in a sandbox of its own; None is one per core.
            reward: `fraction` of tests passed, or `all`: 1 for AC, else 0.
            which: block of a completion that is the program.

        Raises:
            ValueError: two problems share an id, `workers` is given beside a sandbox, or an option is unknown.
        """
        if reward not in ("fraction", "all"):
            raise ValueError(f"reward is {reward!r}; it must be 'fraction' or 'all'")
        if sandbox is not None and workers is not None:
            raise ValueError(f"workers is {workers} but a sandbox is given; its own workers count")
        self._problems: dict[str, Problem] = {}
        for problem in problems:
            if problem.id in self._problems:
                raise ValueError(f"two problems have the id {problem.id!r}; ids must differ")
            self._problems[problem.id] = problem
        self._judge = sandbox
        self._workers = workers
        self._own: Sandbox | None = None
        self._reward = reward
        self._which: Which = which
        self.__name__ = f"execution_{reward}"  # TRL's metrics are named by it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the sandbox if it is this object's own; the next completion would start another."""
        if self._own is not None:
            self._own.close()
            self._own = None

    def score(
        self, completions: Sequence[tuple[str, str]], progress: Callable[[int, Scored], None] | None = None
    ) -> list[Scored]:
        """Judges all completions, as many at a time as the sandbox has workers.

        Args:
            completions: problem id and text of each.
            progress: called with place and result of each as they finish, in this thread.

        Returns:
            One for each completion, in their order.

        Raises:
            ValueError: an id names no problem; nothing has been judged then.
            InfrastructureError: the host failed.
        """
        unknown = {problem_id for problem_id, _ in completions} - self._problems.keys()
        if unknown:
            raise ValueError(f"no problem has the id {min(unknown)!r}; {len(self._problems)} are known")
        problems = [self._problems[name] for name, _ in completions]
        submissions = [
            (problem, extract_code(text, self._which, problem.language))
            for problem, (_, text) in zip(problems, completions, strict=True)
        ]
        scored: dict[int, Scored] = {}
        for place, result in self._sandbox().judge_as_completed(submissions):
            scored[place] = Scored(self._value(result), result)
            if progress is not None:
                progress(place, scored[place])
        return [scored[place] for place in range(len(submissions))]

    def __call__(
        self,
        prompts: Sequence[object],  # noqa: ARG002  # TRL passes it by name
        completions: Sequence[str] | Sequence[Sequence[Message]],
        problem_id: Sequence[str | None],
        *,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[str | None]], None] | None = None,
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

        Raises:
            ValueError: an id names no problem.
            InfrastructureError: the host failed; training must stop rather than learn from it.
        """
        places = [place for place, name in enumerate(problem_id) if name is not None]
        named = [(name, _text(completions[place])) for place, name in enumerate(problem_id) if name is not None]
        scored = dict(zip(places, self.score(named), strict=True))
        if log_metric is not None and scored:
            counts = Counter(item.result.verdict for item in scored.values())
            for verdict in Verdict:
                log_metric(f"{self.__name__}/{verdict.value}", counts[verdict] / len(scored))
        if log_extra is not None:
            verdicts = [scored[p].result.verdict.value if p in scored else None for p in range(len(completions))]
            log_extra("verdict", verdicts)
        return [scored[place].reward if place in scored else None for place in range(len(completions))]

    def _value(self, result: JudgeResult) -> float:
        if result.verdict is Verdict.IE:  # a sandbox raises it; another judge may hand it over
            raise InfrastructureError(result.message)
        if self._reward == "all":
            return float(result.verdict is Verdict.AC)
        return result.pass_rate

    def _sandbox(self) -> Judge:
        if self._judge is not None:
            return self._judge
        if self._own is None:
            self._own = Sandbox(workers=self._workers)
        return self._own


def _text(completion: str | Sequence[Message]) -> str:
    """What the model wrote: the text itself, or the content of the conversation's last turn of the assistant."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        if message.get("role") == "assistant":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
            return str(content or "")
    return ""
