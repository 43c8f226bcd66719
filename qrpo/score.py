"""Stage 2: every completion through the sandbox -> score/scored.jsonl."""

from __future__ import annotations

from qrpo.artifacts import Stage
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.journal import RecordFile, write_records
from qrpo.judging import count_verdicts, judge_rollouts, make_reward
from qrpo.records import Rollout

_JOURNAL = "scored.part.jsonl"


def score(config: PipelineConfig, stage: Stage, display: Display) -> None:
    """Judges the completions that have no reward yet.

    Raises:
        InfrastructureError: the sandbox failed; run the stage again.
    """
    rollouts = RecordFile(config.paths.completions, Rollout)
    journal = stage.path / _JOURNAL
    with make_reward(config) as reward:
        scored = judge_rollouts(
            reward, rollouts, journal, chunk=config.score.score_chunk, display=display, what="judging"
        )
    write_records(config.paths.scored, scored)
    stage.finish([config.paths.scored.name])
    counts = count_verdicts(scored)
    rewards = [rollout.rewards for rollout in scored]
    journal.unlink()
    mean = sum(map(sum, rewards)) / sum(map(len, rewards))
    varied = sum(len(set(mine)) > 1 for mine in rewards)
    display.note("verdicts: " + "  ".join(f"{name} {count}" for name, count in counts.items()))
    display.note(f"mean reward {mean:.3f}; rewards differ within {varied} of {len(rewards)} prompts")
