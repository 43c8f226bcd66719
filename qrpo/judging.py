"""Rewards of many completions, chunk by chunk into a journal; shared by scoring and evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from qrpo.config import PipelineConfig
from qrpo.display import Bar, Display
from qrpo.journal import Journal
from qrpo.problems import load_all
from qrpo.records import Rollout, ScoredRollout
from rewards import ExecutionReward, Scored
from rewards.shapes import ShapeName
from sandbox import InfrastructureError, Verdict
from sandbox.extraction import Which


def judge_rollouts(
    reward: ExecutionReward, rollouts: Sequence[Rollout], path: Path, *, chunk: int, display: Display, what: str
) -> Sequence[ScoredRollout]:
    """Judges what is missing in the journal at `path`.

    Args:
        reward: knows the rollouts' problems.
        rollouts: what to judge; read chunk by chunk.
        path: of the journal.
        chunk: prompts between two writes.
        display: shows a bar.
        what: its name.

    Returns:
        One for each rollout, in their order; read from the journal each time that it is asked for.

    Raises:
        InfrastructureError: the host failed; no completion gets a reward for that.
    """
    places = range(len(rollouts))
    chunks = [places[start : start + chunk] for start in range(0, len(rollouts), chunk)]
    journal = Journal(path, ScoredRollout, [len(part) for part in chunks])
    programs = [len(rollout.completions) for rollout in rollouts]
    done = sum(programs[place] for part in chunks[: journal.batches_done] for place in part)
    with display.bar(what, total=sum(programs), done=done, unit="programs") as bar:
        for part in chunks[journal.batches_done :]:
            journal.append(_judge(reward, rollouts[part.start : part.stop], bar))
    return journal.records()


def make_reward(config: PipelineConfig) -> ExecutionReward:
    """The reward of all problems of a run, held-out ones included."""
    return ExecutionReward(
        load_all(config.data),
        workers=config.score.sandbox_workers,
        reward=cast("ShapeName", config.score.reward),
        which=cast("Which", config.score.which_block),
    )


def count_verdicts(rollouts: Iterable[ScoredRollout]) -> dict[str, int]:
    """How often each verdict was given, in the order of their precedence; those that never were are left out."""
    counts = Counter(verdict for rollout in rollouts for verdict in rollout.verdicts)
    return {verdict.value: counts[verdict.value] for verdict in reversed(Verdict) if counts[verdict.value]}


def _judge(reward: ExecutionReward, rollouts: Sequence[Rollout], bar: Bar) -> list[ScoredRollout]:
    def count(place: int, scored: Scored) -> None:  # noqa: ARG001  # the signature of `progress`
        if scored.reward is None:  # ends the batch: to learn from what the host has left would be to learn from chance
            raise InfrastructureError(scored.result.message)
        bar.advance()

    submissions = [(rollout.problem_id, item.text) for rollout in rollouts for item in rollout.completions]
    results = iter(reward.score(submissions, progress=count))
    scored = []
    for rollout in rollouts:
        mine = [next(results) for _ in rollout.completions]
        scored.append(
            ScoredRollout(
                problem_id=rollout.problem_id,
                prompt=rollout.prompt,
                prompt_ids=rollout.prompt_ids,
                completions=rollout.completions,
                rewards=tuple(item.reward for item in mine if item.reward is not None),
                verdicts=tuple(item.result.verdict.value for item in mine),
            )
        )
    return scored
