"""Stage 2: every completion through the sandbox -> score/scored.jsonl."""

from __future__ import annotations

from qrpo.artifacts import Stage
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.journal import read_records, write_records
from qrpo.judging import count_verdicts, judge_rollouts, make_reward
from qrpo.records import Rollout

_JOURNAL = "scored.part.jsonl"


def score(config: PipelineConfig, stage: Stage, display: Display) -> None:
    """Judges the completions that have no reward yet.

    Raises:
        InfrastructureError: the sandbox failed; run the stage again.
    """
    rollouts = read_records(config.paths.completions, Rollout)
    journal = stage.path / _JOURNAL
    with make_reward(config) as reward:
        scored = judge_rollouts(
            reward, rollouts, journal, chunk=config.score.score_chunk, display=display, what="judging"
        )
    write_records(config.paths.scored, scored)
    stage.finish([config.paths.scored.name])
    journal.unlink()
    rewards = [value for rollout in scored for value in rollout.rewards]
    counts = "  ".join(f"{name} {count}" for name, count in count_verdicts(scored).items())
    varied = sum(len(set(rollout.rewards)) > 1 for rollout in scored)
    display.note(f"verdicts: {counts}")
    display.note(
        f"mean reward {sum(rewards) / len(rewards):.3f}; rewards differ within {varied} of {len(scored)} prompts"
    )
