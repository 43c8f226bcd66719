"""Stage 4: the model before and after, and at its checkpoints -> evaluate/metrics.json.

The completions before training are drawn anew, with random numbers of their own; the reference completions of the
training data are not used for it. A prompt is trained on what was lucky there, and would look worse on the next draw
whether or not the model changed (regression to the mean), so the difference would be biased. The completions after
training use the same random numbers as those before, which makes the paired difference less noisy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from qrpo.artifacts import Stage
from qrpo.checkpoints import Trained, load_initial, load_trained
from qrpo.comparison import by_seed, compare, kl_estimates, length_bias, metrics
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.files import write_atomically
from qrpo.halves import split_halves
from qrpo.initial_evaluations import InitialEvaluations
from qrpo.journal import Journal, write_records
from qrpo.judging import count_verdicts, judge_rollouts, make_reward
from qrpo.likelihood import token_logps
from qrpo.models import Policy
from qrpo.paths import at_step
from qrpo.problems import Split, load_split
from qrpo.records import KlRow, Rollout, ScoredRollout
from qrpo.results import SelectionResult, SplitResult, results_json
from qrpo.rollouts import RolloutPlan, sample_rollouts
from qrpo.sampling import SamplingOptions, StopAfter
from qrpo.selection import select
from sandbox import Problem

_KL_BATCH = 16
"""Completions in one forward pass."""


class _Part(NamedTuple):
    """A set of problems under one model: `before`, `after` or `step-N`."""

    when: str
    split: Split


def evaluate(config: PipelineConfig, stage: Stage, display: Display, trained: Trained) -> None:
    """Samples, judges and compares what is missing.

    Raises:
        InfrastructureError: the sandbox failed; run the stage again.
    """
    problems = evaluated_problems(config)
    initial = InitialEvaluations(config, stage.inputs)
    known = initial.read(problems)
    if known:
        display.note("completions before training: those of another run with the same model and evaluation")
    sampled, kl_rows = _sample(config, stage, display, problems, trained, known)
    scored = {_Part("before", split): rollouts for split, rollouts in known.items()}
    scored |= _judged(config, stage, display, sampled)
    for split in problems.keys() - known.keys():
        scored[_Part("before", split)] = initial.keep(split, scored[_Part("before", split)])
    for part, rollouts in scored.items():
        write_records(config.paths.evaluated(*part), rollouts)
    kl = {part: kl_estimates(rows) for part, rows in kl_rows.items()}
    selection = None
    halves = split_halves(problems.get("heldout", []))
    if halves is not None:
        halves.write(config.paths.halves)
        between = {item.step: at_step(item.step) for item in trained.between}
        whens = {0: "before", **between, trained.last.step: "after"}
        selection = select(
            {step: scored[_Part(when, "heldout")] for step, when in whens.items()},
            {step: kl[_Part(when, "heldout")] for step, when in whens.items() if step},
            halves,
            seeds=config.evaluate.eval_seeds,
            pass_k=_pass_k(config),
            resamplings=config.evaluate.bootstrap_samples,
            seed=config.generate.sampling_seed,
        )
    results: dict[str, SplitResult] = {
        split: summarise(
            config,
            scored[_Part("before", split)],
            scored[_Part("after", split)],
            kl[_Part("after", split)],
            selection if split == "heldout" else None,
        )
        for split in problems
    }
    write_atomically(config.paths.metrics, results_json(results))
    written = [config.paths.metrics, *([] if halves is None else [config.paths.halves])]
    stage.finish([path.name for path in [*written, *(config.paths.evaluated(*part) for part in scored)]])
    for journal in stage.path.glob("*.part.jsonl"):
        journal.unlink()


def evaluated_problems(config: PipelineConfig) -> dict[Split, list[Problem]]:
    """The problems of each side that a model is looked at with; a side without any is left out."""
    train, heldout = load_split(config.data, "train"), load_split(config.data, "heldout")
    wanted = config.evaluate.eval_train_problems
    if wanted is not None and wanted < len(train):
        train = [train[place * len(train) // wanted] for place in range(wanted)]
    sides: dict[Split, list[Problem]] = {"train": train, "heldout": heldout}
    return {split: found for split, found in sides.items() if found}


def summarise(
    config: PipelineConfig,
    before: Sequence[ScoredRollout],
    after: Sequence[ScoredRollout],
    kl: Mapping[str, float],
    selection: SelectionResult | None,
) -> SplitResult:
    """What `metrics.json` says of one set of problems."""
    options = config.evaluate
    return SplitResult(
        problems=len(before),
        completions=options.eval_completions,
        metrics={
            name: compare(
                by_seed(before, metric, options.eval_seeds),
                by_seed(after, metric, options.eval_seeds),
                resamplings=options.bootstrap_samples,
                seed=config.generate.sampling_seed,
            )
            for name, metric in metrics(_pass_k(config)).items()
        },
        kl=dict(kl),
        verdicts={"before": count_verdicts(before), "after": count_verdicts(after)},
        length_bias={"before": length_bias(before), "after": length_bias(after)},
        selection=selection,
    )


def _sample(
    config: PipelineConfig,
    stage: Stage,
    display: Display,
    problems: Mapping[Split, Sequence[Problem]],
    trained: Trained,
    known: Collection[Split],
) -> tuple[dict[_Part, list[Rollout]], dict[_Part, list[KlRow]]]:
    """Completions of every model, and their log-probabilities for the KL; two models at most are in memory.

    Those of the initial model are left out where they are `known`.
    """
    sampled: dict[_Part, list[Rollout]] = {}
    kl: dict[_Part, list[KlRow]] = {}

    def draw(policy: Policy, when: str, what: str, splits: Sequence[Split]) -> None:
        for split in splits:
            journal = stage.path / f"{when}.{split}.samples.part.jsonl"
            plan = _plan(config, problems[split])
            sampled[_Part(when, split)] = sample_rollouts(policy, plan, journal, display, f"{what}, {split} problems")

    def compare_with(initial: Policy, policy: Policy, when: str, of: str, splits: Sequence[Split]) -> None:
        for split in splits:
            part = _Part(when, split)
            journal = stage.path / f"kl.{when}.{split}.part.jsonl"
            kl[part] = _kl_rows(config, journal, policy, initial, sampled[part], display, f"KL {of}, {split}")

    initial = load_initial(config)
    draw(initial, "before", "before training", [split for split in problems if split not in known])
    for checkpoint in trained.between:
        policy = load_trained(config, checkpoint.path)
        when, what = at_step(checkpoint.step), f"step {checkpoint.step}"
        draw(policy, when, what, ["heldout"])
        compare_with(initial, policy, when, f"of {what}", ["heldout"])
        del policy
    policy = load_trained(config, trained.last.path)
    draw(policy, "after", "after training", list(problems))
    compare_with(initial, policy, "after", "to the reference", list(problems))
    return sampled, kl


def _judged(
    config: PipelineConfig, stage: Stage, display: Display, sampled: Mapping[_Part, Sequence[Rollout]]
) -> dict[_Part, list[ScoredRollout]]:
    with make_reward(config) as reward:
        return {
            part: list(
                judge_rollouts(
                    reward,
                    rollouts,
                    stage.path / f"{part.when}.{part.split}.scored.part.jsonl",
                    chunk=config.score.score_chunk,
                    display=display,
                    what=f"judging {part.when}, {part.split}",
                )
            )
            for part, rollouts in sampled.items()
        }


def _pass_k(config: PipelineConfig) -> int:
    return config.evaluate.pass_k or config.evaluate.eval_completions


def _plan(config: PipelineConfig, problems: Sequence[Problem]) -> RolloutPlan:
    return RolloutPlan(
        problems=tuple(problems),
        completions=config.evaluate.eval_completions,
        options=SamplingOptions(
            max_new_tokens=config.generate.max_new_tokens,
            temperature=config.evaluate.eval_temperature,
            top_p=config.evaluate.eval_top_p,
            stop_after=cast("StopAfter", config.generate.stop_after),
        ),
        seed=config.generate.sampling_seed,
        stream="evaluate",  # the same before and after
        sampling_seeds=config.evaluate.eval_seeds,
        batch_completions=config.evaluate.eval_batch_completions or config.generate.batch_completions,
        max_prompt_tokens=config.generate.max_prompt_tokens,
    )


def _kl_rows(
    config: PipelineConfig,
    path: Path,
    policy: Policy,
    initial: Policy,
    sampled: Sequence[Rollout],
    display: Display,
    what: str,
) -> list[KlRow]:
    """Log-probabilities of completions of a trained model, under it and under the initial one."""
    chosen = [
        (rollout, index)
        for rollout in sorted(sampled, key=lambda rollout: (-len(rollout.prompt_ids), rollout.problem_id))
        for index in range(config.evaluate.kl_completions)
    ]
    batches = [chosen[start : start + _KL_BATCH] for start in range(0, len(chosen), _KL_BATCH)]
    journal = Journal(path, KlRow, [len(batch) for batch in batches])
    done = sum(len(batch) for batch in batches[: journal.batches_done])
    with display.bar(what, total=len(chosen), done=done, unit="completions") as bar:
        for batch in batches[journal.batches_done :]:
            sequences = [(rollout.prompt_ids, rollout.completions[index].token_ids) for rollout, index in batch]
            temperature = config.evaluate.eval_temperature
            logps = token_logps(policy, sequences, temperature)
            ref_logps = token_logps(initial, sequences, temperature)
            journal.append(
                KlRow(problem_id=rollout.problem_id, index=index, logps=tuple(mine), ref_logps=tuple(theirs))
                for (rollout, index), mine, theirs in zip(batch, logps, ref_logps, strict=True)
            )
            bar.advance(len(batch))
    return journal.read()
