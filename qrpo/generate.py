"""Stage 1: completions of the training prompts from the reference policy -> generate/completions.jsonl."""

from __future__ import annotations

from typing import cast

from qrpo.artifacts import Stage
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.journal import write_records
from qrpo.models import load_policy, local_model
from qrpo.problems import load_split
from qrpo.rollouts import RolloutPlan, sample_rollouts
from qrpo.sampling import SamplingOptions, StopAfter

_JOURNAL = "completions.part.jsonl"


def generate(config: PipelineConfig, stage: Stage, display: Display) -> None:
    """Samples the reference completions that are missing.

    At temperature 1 and from the whole distribution: the quantile of a reward is uniform only under the policy that
    the loss has in its denominator.
    """
    policy = load_policy(
        local_model(
            config.model_name,
            config.paths.reference,
            revision=config.model.model_revision,
            temperature=config.generate.policy_temperature,
        ),
        dtype=config.generate.sampling_dtype,
        revision=config.model.model_revision,
        attn_implementation=config.model.attn_implementation,
    )
    plan = RolloutPlan(
        problems=tuple(load_split(config.data, "train")),
        completions=config.generate.num_completions,
        options=SamplingOptions(
            max_new_tokens=config.generate.max_new_tokens, stop_after=cast("StopAfter", config.generate.stop_after)
        ),
        seed=config.train.seed,
        stream="generate",
        batch_completions=config.generate.batch_completions,
        max_prompt_tokens=config.generate.max_prompt_tokens,
    )
    journal = stage.path / _JOURNAL
    rollouts = sample_rollouts(policy, plan, journal, display, "reference completions")
    write_records(config.paths.completions, rollouts)
    stage.finish([config.paths.completions.name])
    journal.unlink()
    sampled = [item for rollout in rollouts for item in rollout.completions]
    cut = sum(item.finish_reason == "length" for item in sampled)
    tokens = sum(len(item.token_ids) for item in sampled)
    display.note(f"{tokens / len(sampled):.0f} tokens per completion; {cut / len(sampled):.0%} cut by the length limit")
