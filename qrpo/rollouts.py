"""Completions of many prompts, batch by batch into a journal; shared by generation and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qrpo.display import Display
from qrpo.errors import PipelineError
from qrpo.journal import Journal
from qrpo.models import Policy
from qrpo.records import Completion, Message, Rollout
from qrpo.sampling import SamplingOptions, sample, uniforms
from sandbox import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What is sampled.

    Raises:
        ValueError: a number is out of range.
    """

    problems: tuple[Problem, ...]
    completions: int
    """Per problem and sampling seed."""
    options: SamplingOptions
    seed: int
    stream: str
    """Keeps the random numbers of different purposes apart."""
    sampling_seeds: int = 1
    """Sets of completions with random numbers of their own; they follow each other in a rollout."""
    batch_completions: int
    """Completions at a time; a problem's are never split over batches."""
    max_prompt_tokens: int | None = None
    """Problems with longer prompts are left out; None: no limit."""

    def __post_init__(self) -> None:
        if min(self.completions, self.batch_completions, self.sampling_seeds) < 1:
            raise ValueError(
                f"completions is {self.completions}, batch_completions {self.batch_completions} and sampling_seeds "
                f"{self.sampling_seeds}; each must be at least 1"
            )

    @property
    def per_problem(self) -> int:
        """Completions of a problem, of all sampling seeds."""
        return self.completions * self.sampling_seeds

    @property
    def streams(self) -> list[str]:
        """One for each sampling seed; the first is the same however many there are."""
        return [self.stream, *(f"{self.stream} {number}" for number in range(1, self.sampling_seeds))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    problem_id: str
    messages: tuple[Message, ...]
    ids: tuple[int, ...]
    answer_start: str


def sample_rollouts(policy: Policy, plan: RolloutPlan, path: Path, display: Display, what: str) -> list[Rollout]:
    """Samples what is missing in the journal at `path`.

    Returns:
        One for each problem that is not left out, in the plan's order.

    Raises:
        PipelineError: all are left out.
    """
    prompts = _fitting([_prompt(problem, policy) for problem in plan.problems], plan.max_prompt_tokens, display)
    # Prompts of like length share a batch and waste little on padding; the longest first, so that a batch too big
    # for the memory fails at once. The order depends on nothing but the prompts, so a resumed run batches alike.
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.ids), prompt.problem_id))
    size = max(1, plan.batch_completions // plan.per_problem)
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    journal = Journal(path, Rollout, [len(batch) for batch in batches])
    total = len(prompts) * plan.per_problem
    done = sum(len(batch) for batch in batches[: journal.batches_done]) * plan.per_problem
    with display.bar(what, total=total, done=done, unit="completions") as bar:
        for batch in batches[journal.batches_done :]:
            rollouts = _sample_batch(policy, plan, batch)
            journal.append(rollouts)
            bar.advance(len(batch) * plan.per_problem)
    by_id = {rollout.problem_id: rollout for rollout in journal.read()}
    return [by_id[prompt.problem_id] for prompt in prompts]


def _fitting(prompts: list[_Prompt], most: int | None, display: Display) -> list[_Prompt]:
    if most is None:
        return prompts
    fitting = [prompt for prompt in prompts if len(prompt.ids) <= most]
    if not fitting:
        shortest = min(len(prompt.ids) for prompt in prompts)
        raise PipelineError(f"max_prompt_tokens is {most}, but the shortest prompt has {shortest} tokens")
    if len(fitting) < len(prompts):
        display.note(f"{len(prompts) - len(fitting)} of {len(prompts)} problems left out: more than {most} tokens")
    return fitting


def _sample_batch(policy: Policy, plan: RolloutPlan, batch: Sequence[_Prompt]) -> list[Rollout]:
    draws = [
        [
            uniforms(plan.seed, stream, prompt.problem_id, index, plan.options.max_new_tokens)
            for stream in plan.streams
            for index in range(plan.completions)
        ]
        for prompt in batch
    ]
    starts = [prompt.answer_start for prompt in batch]
    sampled = sample(policy, [prompt.ids for prompt in batch], draws, plan.options, starts)
    return [_rollout(prompt, completions) for prompt, completions in zip(batch, sampled, strict=True)]


def _prompt(problem: Problem, policy: Policy) -> _Prompt:
    messages = [Message(role="user", content=problem.prompt)]
    if problem.answer_start:
        messages.append(Message(role="assistant", content=problem.answer_start))
    return _Prompt(
        problem_id=problem.id,
        messages=tuple(messages),
        ids=tuple(policy.encode(messages)),
        answer_start=problem.answer_start,
    )


def _rollout(prompt: _Prompt, completions: Sequence[Completion]) -> Rollout:
    return Rollout(
        problem_id=prompt.problem_id, prompt=prompt.messages, prompt_ids=prompt.ids, completions=tuple(completions)
    )
