"""What an online run leaves at its end, where a run of the pipeline leaves it, so that the two are collected alike.

RUN/train/{log.jsonl,model}   the training logs of all iterations in one; a link to the last policy
RUN/{evaluate,report}/        as those of the pipeline, with iterations for steps
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from qrpo.artifacts import Stage, check_folder, open_stage, read_manifest
from qrpo.checkpoints import Checkpoint, Trained, last_step
from qrpo.config import PipelineConfig
from qrpo.display import Display, duration
from qrpo.evaluate import evaluate
from qrpo.files import write_atomically
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.local_models import fingerprint
from qrpo.online_options import OnlineConfig
from qrpo.online_plot import rewards_over_iterations
from qrpo.paths import at_step
from qrpo.problems import digest, load_split
from qrpo.records import ScoredRollout
from qrpo.report import Panel, Story, write_report
from qrpo.results import SplitResult
from qrpo.run_options import STAGES

_CAPTION = (
    "On training problems: completions that the policy then learnt from, at temperature 1. On held-out problems: those "
    "of the evaluation. The reference is what log-ratios and quantiles are relative to."
)


def begin(config: PipelineConfig, online: OnlineConfig) -> None:
    """Writes the options; refuses folders of other ones before any work.

    Raises:
        StaleFolderError: the run was finished with other options.
    """
    for name, options in _options(config, online).items():
        check_folder(config.paths.stage(name), stage=name, config=options)
    config.paths.root.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dataclasses.asdict(online), sort_keys=False)
    write_atomically(config.paths.config, f"{config.to_yaml()}# Online\n{text}")


def finish(
    config: PipelineConfig,
    online: OnlineConfig,
    iterations: Sequence[PipelineConfig],
    history: Path,
    display: Display,
    interrupts: Interrupts,
) -> None:
    """Evaluates the last policy, with `eval_checkpoints` that of every iteration, and reports.

    Args:
        config: of the run.
        online: of the loop.
        iterations: the options of each, in order.
        history: of `qrpo.online`.
        display: shows the table.
        interrupts: may end the evaluation at once.

    Raises:
        InfrastructureError: the sandbox failed; run it again.
    """
    paths, options = config.paths, _options(config, online)
    policies = [Checkpoint(number, mine.paths.model) for number, mine in enumerate(iterations, 1)]
    model = {"model": fingerprint(config.model_name)}
    sources: dict[str, Path | str] = {"last policy": policies[-1].path}
    sources |= {f"log {number}": mine.paths.training_log for number, mine in enumerate(iterations, 1)}
    with open_stage(paths.stage("train"), stage="train", config=options["train"], inputs={**model, **sources}) as stage:
        if not stage.done:
            _join(iterations, stage, paths.model)
    problems = {
        "train problems": digest(load_split(config.data, "train")),
        "held-out problems": digest(load_split(config.data, "heldout")),
    }
    with _stage(config, "evaluate", options, {**model, **problems, "trained model": paths.model}, display) as stage:
        if not stage.done:
            between = policies[:-1] if config.evaluate.eval_checkpoints else []
            with interrupts.raising():
                evaluate(config, stage, display, Trained(between, policies[-1]))
    inputs: dict[str, Path | str] = {
        "metrics": paths.metrics,
        "evaluation": paths.stage("evaluate"),
        "history": history,
    }
    with _stage(config, "report", options, inputs, display) as stage:
        write_report(config, stage, display, lambda results: _story(config, iterations, history, results))


def _options(config: PipelineConfig, online: OnlineConfig) -> dict[str, dict[str, object]]:
    """What the folders at the end depend on; the model on all options of the loop."""
    train: dict[str, object] = {}
    for name in ("generate", "score", "train"):
        train |= config.stage_options(name)
    return {
        "train": train | dataclasses.asdict(online),
        "evaluate": config.stage_options("evaluate"),
        "report": config.stage_options("report"),
    }


@contextmanager
def _stage(
    config: PipelineConfig,
    name: str,
    options: Mapping[str, Mapping[str, object]],
    inputs: Mapping[str, Path | str],
    display: Display,
) -> Iterator[Stage]:
    with open_stage(config.paths.stage(name), stage=name, config=options[name], inputs=inputs) as stage:
        state = f"[green]done[/green] before, in {duration(stage.seconds)}" if stage.done else ""
        display.stage(STAGES.index(name) + 1, len(STAGES), name, state)
        yield stage


def _join(iterations: Sequence[PipelineConfig], stage: Stage, model: Path) -> None:
    """One log, whose steps go on from iteration to iteration, and the last policy under the name of a trained model."""
    lines, before = [], 0
    for number, mine in enumerate(iterations, 1):
        for text in mine.paths.training_log.read_text(encoding="utf-8").splitlines():
            row = json.loads(text)
            lines.append({**row, "iteration": number, "step": row["step"] + before})
        before += last_step(mine)
    log = stage.path / iterations[-1].paths.training_log.name
    write_atomically(log, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    # A link and no copy: a model is large. Relative, so that the run's folder can be moved.
    model.unlink(missing_ok=True)
    model.symlink_to(os.path.relpath(iterations[-1].paths.model, stage.path))
    stage.finish([log.name, model.name])


def _story(
    config: PipelineConfig, iterations: Sequence[PipelineConfig], history: Path, results: Mapping[str, SplitResult]
) -> Story:
    lines = [json.loads(text) for text in history.read_text(encoding="utf-8").splitlines()]
    own = {number: read_records(mine.paths.scored, ScoredRollout) for number, mine in enumerate(iterations)}
    policies: dict[str, Mapping[int, Sequence[ScoredRollout]]] = {"training problems": own}
    selection = results["heldout"].selection if "heldout" in results else None
    if selection is not None:
        last = len(iterations)
        whens = {item.step: {0: "before", last: "after"}.get(item.step, at_step(item.step)) for item in selection.steps}
        policies["held-out problems"] = {
            step: read_records(config.paths.evaluated(when, "heldout"), ScoredRollout) for step, when in whens.items()
        }
    figure = rewards_over_iterations(policies, [line["reference_reward"] for line in lines])
    folders = [mine.paths for mine in iterations]
    seconds = {name: 0.0 for name in STAGES if name != "report"}
    manifests = [read_manifest(path) for path in sorted(config.paths.root.glob("*/*")) if path.is_dir()]
    for manifest in [*manifests, read_manifest(config.paths.stage("evaluate"))]:
        if manifest is not None:
            seconds[manifest.stage] += manifest.seconds
    trained = read_manifest(folders[-1].stage("train"))
    assert trained is not None  # it is finished
    sampled = sum(len(rollout.completions) for line in own.values() for rollout in line)
    return Story(
        summary=f"{len(iterations)} iterations of online QRPO: {sampled} completions of the current policy for "
        f"{len(own[0])} training prompts, judged in the sandbox and trained on against a reference",
        panels=[Panel("Reward over iterations", figure, _CAPTION)],
        seconds=seconds,
        versions=trained.versions,
        step="iteration",
    )
