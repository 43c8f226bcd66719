"""Completions of many prompts, batch by batch into a journal; shared by generation and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from qrpo.display import Display
from qrpo.errors import ConfigError
from qrpo.generator import OpenGenerator, Prompt
from qrpo.journal import Journal
from qrpo.models import Policy
from qrpo.records import Completion, Message, Rollout
from qrpo.sampling import SamplingOptions, sample, uniforms
from qrpo.vocabulary import Vocabulary
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
    shard: int = 0
    """Which share of the batches, from 0."""
    num_shards: int = 1

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


def sample_rollouts(policy: Policy, plan: RolloutPlan, path: Path, display: Display, what: str) -> list[Rollout]:
    """As `collect_rollouts`, with a loaded policy."""
    generator = TransformersGenerator(policy, plan)
    return list(collect_rollouts(policy.vocabulary, lambda _: nullcontext(generator), plan, path, display, what))


def collect_rollouts(
    vocabulary: Vocabulary, start: OpenGenerator, plan: RolloutPlan, path: Path, display: Display, what: str
) -> Sequence[Rollout]:
    """Samples what is missing in the journal at `path`.

    Returns:
        One for each problem of the plan's shard that is not left out, in the plan's order; read from the journal each
        time that it is asked for.

    Raises:
        ConfigError: all are left out, or there is nothing for the shard to do.
    """
    prompts = _fitting([_prompt(problem, vocabulary) for problem in plan.problems], plan.max_prompt_tokens, display)
    batches = _deal(prompts, plan)
    journal = Journal(path, Rollout, [len(batch) for batch in batches])
    pending = batches[journal.batches_done :]
    total = sum(map(len, batches)) * plan.per_problem
    done = total - sum(map(len, pending)) * plan.per_problem
    with display.bar(what, total=total, done=done, unit="completions") as bar:
        if pending:
            with start([prompt for batch in pending for prompt in batch]) as generator:
                for batch in pending:
                    sampled = generator.generate(batch)
                    journal.append([_rollout(*made) for made in zip(batch, sampled, strict=True)])
                    bar.advance(len(batch) * plan.per_problem)
    places = {prompt.problem_id: place for place, prompt in enumerate(prompt for batch in batches for prompt in batch)}
    return journal.records([places[problem.id] for problem in plan.problems if problem.id in places])


class TransformersGenerator:
    """A `Generator`: `qrpo.sampling` on one device. What it draws depends on the plan and the prompt alone."""

    def __init__(self, policy: Policy, plan: RolloutPlan) -> None:
        self._policy = policy
        self._plan = plan

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """See `Generator`."""
        plan = self._plan
        draws = [
            [
                uniforms(plan.seed, stream, prompt.problem_id, index, plan.options.max_new_tokens)
                for stream in plan.streams
                for index in range(plan.completions)
            ]
            for prompt in prompts
        ]
        starts = [prompt.answer_start for prompt in prompts]
        return sample(self._policy, [prompt.ids for prompt in prompts], draws, plan.options, starts)


def _fitting(prompts: list[Prompt], most: int | None, display: Display) -> list[Prompt]:
    if most is None:
        return prompts
    fitting = [prompt for prompt in prompts if len(prompt.ids) <= most]
    if not fitting:
        shortest = min(len(prompt.ids) for prompt in prompts)
        raise ConfigError(f"max_prompt_tokens is {most}, but the shortest prompt has {shortest} tokens")
    if len(fitting) < len(prompts):
        display.note(f"{len(prompts) - len(fitting)} of {len(prompts)} problems left out: more than {most} tokens")
    return fitting


def _deal(prompts: Sequence[Prompt], plan: RolloutPlan) -> list[Sequence[Prompt]]:
    """The shard's batches, each as it is in a run without shards."""
    # Prompts of like length share a batch and waste little on padding; the longest first, so that a batch too big
    # for the memory fails at once. The order depends on nothing but the prompts, so a resumed run batches alike.
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.ids), prompt.problem_id))
    size = max(1, plan.batch_completions // plan.per_problem)
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    # Whole batches: in bfloat16 a completion can depend on what shares its batch, and shards must give the same ones.
    mine = batches[plan.shard :: plan.num_shards]
    if batches and not mine:
        raise ConfigError(
            f"num_shards is {plan.num_shards}, but there are {len(batches)} batches of {size} prompts to deal; "
            f"give at most --num_shards {len(batches)}, or a smaller --batch_completions than {plan.batch_completions}"
        )
    return list(mine)


def _prompt(problem: Problem, vocabulary: Vocabulary) -> Prompt:
    messages = [Message(role="user", content=problem.prompt)]
    if problem.answer_start:
        messages.append(Message(role="assistant", content=problem.answer_start))
    return Prompt(
        problem_id=problem.id,
        messages=tuple(messages),
        ids=tuple(vocabulary.encode(messages)),
        answer_start=problem.answer_start,
    )


def _rollout(prompt: Prompt, completions: Sequence[Completion]) -> Rollout:
    return Rollout(
        problem_id=prompt.problem_id, prompt=prompt.messages, prompt_ids=prompt.ids, completions=tuple(completions)
    )
