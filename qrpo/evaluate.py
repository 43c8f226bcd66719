"""Stage 4: the model before and after, on training and held-out problems -> evaluate/metrics.json.

The completions before training are drawn anew, with random numbers of their own; the reference completions of the
training data are not used for it. A prompt is trained on what was lucky there, and would look worse on the next draw
whether or not the model changed (regression to the mean), so the difference would be biased. The completions after
training use the same random numbers as those before, which makes the paired difference less noisy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

from qrpo.artifacts import Stage, write_atomically
from qrpo.comparison import compare, kl_estimates, metrics
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.journal import Journal, write_records
from qrpo.judging import count_verdicts, judge_rollouts, make_reward
from qrpo.likelihood import token_logps
from qrpo.models import Policy, load_policy, local_model
from qrpo.problems import Split, load_split
from qrpo.records import KlRow, Rollout, ScoredRollout
from qrpo.rollouts import RolloutPlan, sample_rollouts
from qrpo.sampling import SamplingOptions, StopAfter
from sandbox import Problem

When = Literal["before", "after"]
_KL_BATCH = 16
"""Completions in one forward pass."""


class _Part(NamedTuple):
    """A set of problems under one of the two models."""

    when: When
    split: Split


def evaluate(config: PipelineConfig, stage: Stage, display: Display) -> None:
    """Samples, judges and compares what is missing.

    Raises:
        InfrastructureError: the sandbox failed; run the stage again.
    """
    splits: tuple[Split, ...] = ("train", "heldout")
    problems = {split: found for split in splits if (found := load_split(config.data, split))}
    policies: dict[When, Policy] = {"before": _load(config, "before"), "after": _load(config, "after")}
    sampled = {
        _Part(when, split): sample_rollouts(
            policy,
            _plan(config, problems[split]),
            stage.path / f"{when}.{split}.samples.part.jsonl",
            display,
            f"{when} training, {split} problems",
        )
        for when, policy in policies.items()
        for split in problems
    }
    kl = {
        split: _kl_rows(config, stage, policies, split, sampled[_Part("after", split)], display) for split in problems
    }
    del policies
    with make_reward(config) as reward:
        scored = {
            part: judge_rollouts(
                reward,
                rollouts,
                stage.path / f"{part.when}.{part.split}.scored.part.jsonl",
                chunk=config.score.score_chunk,
                display=display,
                what=f"judging {part.when}, {part.split}",
            )
            for part, rollouts in sampled.items()
        }
    results = {
        split: summarise(config, scored[_Part("before", split)], scored[_Part("after", split)], kl[split])
        for split in problems
    }
    for part, rollouts in scored.items():
        write_records(config.paths.evaluated(*part), rollouts)
    write_atomically(config.paths.metrics, json.dumps(results, indent=1) + "\n")
    stage.finish([config.paths.metrics.name, *(config.paths.evaluated(*part).name for part in scored)])
    for journal in stage.path.glob("*.part.jsonl"):
        journal.unlink()


def summarise(
    config: PipelineConfig, before: Sequence[ScoredRollout], after: Sequence[ScoredRollout], kl: Sequence[KlRow]
) -> dict[str, object]:
    """What `metrics.json` says of one set of problems."""
    options = config.evaluate
    compared = {
        name: compare(
            [metric(rollout) for rollout in before],
            [metric(rollout) for rollout in after],
            resamplings=options.bootstrap_samples,
            seed=config.train.seed,
        )._asdict()
        for name, metric in metrics(options.pass_k or options.eval_completions).items()
    }
    return {
        "problems": len(before),
        "completions": options.eval_completions,
        "metrics": compared,
        "kl": kl_estimates(kl),
        "verdicts": {"before": count_verdicts(before), "after": count_verdicts(after)},
    }


def _load(config: PipelineConfig, when: When) -> Policy:
    name = str(config.paths.model)
    if when == "before":
        name = local_model(
            config.model_name,
            config.paths.reference,
            revision=config.model.model_revision,
            temperature=config.generate.policy_temperature,
        )
    return load_policy(
        name,
        dtype=config.generate.sampling_dtype,
        revision=config.model.model_revision if when == "before" else "main",
        attn_implementation=config.model.attn_implementation,
    )


def _plan(config: PipelineConfig, problems: Sequence[Problem]) -> RolloutPlan:
    return RolloutPlan(
        problems=tuple(problems),
        completions=config.evaluate.eval_completions,
        options=SamplingOptions(
            max_new_tokens=config.generate.max_new_tokens,
            temperature=config.evaluate.eval_temperature,
            stop_after=cast("StopAfter", config.generate.stop_after),
        ),
        seed=config.train.seed,
        stream="evaluate",  # the same before and after
        batch_completions=config.generate.batch_completions,
        max_prompt_tokens=config.generate.max_prompt_tokens,
    )


def _kl_rows(
    config: PipelineConfig,
    stage: Stage,
    policies: Mapping[When, Policy],
    split: Split,
    after: Sequence[Rollout],
    display: Display,
) -> list[KlRow]:
    """Log-probabilities of completions of the trained model, under it and under the reference."""
    chosen = [
        (rollout, index)
        for rollout in sorted(after, key=lambda rollout: (-len(rollout.prompt_ids), rollout.problem_id))
        for index in range(config.evaluate.kl_completions)
    ]
    batches = [chosen[start : start + _KL_BATCH] for start in range(0, len(chosen), _KL_BATCH)]
    journal = Journal(stage.path / f"kl.{split}.part.jsonl", KlRow, [len(batch) for batch in batches])
    done = sum(len(batch) for batch in batches[: journal.batches_done])
    with display.bar(f"KL to the reference, {split}", total=len(chosen), done=done, unit="completions") as bar:
        for batch in batches[journal.batches_done :]:
            sequences = [(rollout.prompt_ids, rollout.completions[index].token_ids) for rollout, index in batch]
            temperature = config.evaluate.eval_temperature
            logps = token_logps(policies["after"], sequences, temperature)
            ref_logps = token_logps(policies["before"], sequences, temperature)
            journal.append(
                KlRow(problem_id=rollout.problem_id, index=index, logps=tuple(mine), ref_logps=tuple(theirs))
                for (rollout, index), mine, theirs in zip(batch, logps, ref_logps, strict=True)
            )
            bar.advance(len(batch))
    return journal.read()
