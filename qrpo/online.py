"""Online QRPO: sample with the current policy, judge, train, and again.

    RUN/references-000/{generate,score}        rewards of the reference policy, the model the run began with
    RUN/iteration-000/{generate,score,train}   completions of the current policy, and the policy trained on them
    RUN/iteration-001/...
    RUN/history.jsonl                          a line for each iteration
    RUN/{train,evaluate,report}                the last policy, evaluated (`qrpo.online_results`)

Quantiles are among the reference's rewards, log-ratios against the reference, so that every iteration regresses on
the same optimum, now on the policy's own completions. With `refresh_every` K, the current policy becomes the reference
every K iterations, with completions of its own. Folders have manifests like those of the pipeline (`qrpo.artifacts`):
a run that was stopped goes on where it was and ends in the same files.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qrpo.artifacts import open_stage
from qrpo.config import PipelineConfig
from qrpo.data import PointwiseRow, pointwise_rows
from qrpo.display import Display
from qrpo.errors import ConfigError, PipelineError
from qrpo.files import write_atomically
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.local_models import fingerprint, local_model
from qrpo.online_options import OnlineConfig
from qrpo.online_results import begin, finish
from qrpo.problems import load_all, load_split
from qrpo.records import ScoredRollout
from qrpo.run_options import RunConfig
from qrpo.train import Work, fit
from qrpo.train_code import run

HISTORY = "history.jsonl"


class Reference(NamedTuple):
    """The policy in the denominator, and its completions."""

    model: str
    scored: Path
    """Of `qrpo.records.ScoredRollout`."""


def train_online(config: PipelineConfig, online: OnlineConfig, display: Display, interrupts: Interrupts) -> None:
    """Runs all iterations that are not done, and evaluates what has come of them.

    Raises:
        ConfigError: an option has no meaning here.
        PipelineError: a folder was made with other options, or the rewards of all prompts are equal.
        SandboxError: the sandbox failed.
        KeyboardInterrupt: the user asked to stop.
    """
    _check(config)
    begin(config, online)
    history_file = config.paths.root / HISTORY
    policy = local_model(
        config.model_name,
        config.paths.reference,
        revision=config.model.model_revision,
        temperature=config.generate.policy_temperature,
    )
    reference: Reference | None = None
    history: list[dict[str, float]] = []
    iterations: list[PipelineConfig] = []
    for iteration in range(online.iterations):
        if reference is None or (online.refresh_every is not None and iteration % online.refresh_every == 0):
            sampled = _config_of(config, f"references-{iteration:03d}", policy, config.generate.num_completions)
            _sample_and_score(sampled, display, interrupts)
            reference = Reference(policy, sampled.paths.scored)
        mine = _config_of(config, f"iteration-{iteration:03d}", policy, online.online_completions)
        _sample_and_score(mine, display, interrupts)
        _train(mine, reference, display, interrupts)
        history.append({"iteration": iteration, **_rewards(mine.paths.scored, "policy"), **_rewards(reference.scored)})
        write_atomically(history_file, "".join(json.dumps(line) + "\n" for line in history))
        display.note(f"iteration {iteration}: mean reward before it {history[-1]['policy_reward']:.3f}")
        policy = str(mine.paths.model)
        iterations.append(mine)
    finish(config, online, iterations, history_file, display, interrupts)


def online_rows(
    rollouts: Sequence[ScoredRollout], references: Sequence[ScoredRollout], *, num_refs: int | None = None
) -> list[PointwiseRow]:
    """Rows of the policy's completions, each compared with the reference's of its prompt.

    Args:
        rollouts: of the policy.
        references: of the reference policy, for the same problems.
        num_refs: compare with the first so many; None: with all.
    """
    rewards = {rollout.problem_id: list(rollout.rewards[:num_refs]) for rollout in references}
    return [PointwiseRow(**{**row, "ref_rewards": rewards[row["problem_id"]]}) for row in pointwise_rows(rollouts)]


def _check(config: PipelineConfig) -> None:
    data, wanted = config.data, {"algorithm": config.train.algorithm}
    wanted |= {name: getattr(config.run, name) for name in ("stage", "completions_from", "reference_dir")}
    wanted |= {name: getattr(data, name) for name in ("pairing", "references", "completions_per_prompt")}
    known = {"algorithm": "qrpo", "stage": "all", "completions_from": None, "reference_dir": None}
    known |= {"pairing": None, "references": "all", "completions_per_prompt": None}
    for name, value in wanted.items():
        if value != known[name]:
            raise ConfigError(f"{name} is {value!r}; online training knows only {known[name]!r}")
    load_all(data)
    if config.evaluate.eval_checkpoints and len(load_split(data, "heldout")) < 2:
        raise ConfigError("eval_checkpoints needs two held-out problems at least; give --heldout_problems")


def _config_of(config: PipelineConfig, name: str, policy: str, completions: int) -> PipelineConfig:
    """The options of one folder: its policy, random numbers of its own."""
    train = copy.copy(config.train)
    train.output_dir = str(config.paths.root / name)
    train.ref_logps_dir = train.ref_logps_dir or str(config.paths.reference / "logps")
    train.seed = _seed(config.train.seed, name)
    model = copy.copy(config.model)
    model.model_name_or_path = policy
    # What a folder holds is evaluated at the end of the run alone.
    evaluate = dataclasses.replace(config.evaluate, eval_checkpoints=False)
    # The model has the temperature folded in.
    generate = dataclasses.replace(
        config.generate,
        policy_temperature=1.0,
        num_completions=completions,
        sampling_seed=_seed(config.generate.sampling_seed, name),
    )
    return dataclasses.replace(config, train=train, model=model, generate=generate, evaluate=evaluate)


def _seed(seed: int, name: str) -> int:
    """Of a folder; seeds that follow each other would share their numbers with other runs."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:4], "big") >> 1


def _sample_and_score(config: PipelineConfig, display: Display, interrupts: Interrupts) -> None:
    display.note(str(config.paths.root.name))
    for stage in ("generate", "score"):
        run(dataclasses.replace(config, run=RunConfig(stage=stage)), display, interrupts)


def _train(config: PipelineConfig, reference: Reference, display: Display, interrupts: Interrupts) -> None:
    policy = config.model_name
    inputs: Mapping[str, Path | str] = {
        "model": fingerprint(policy),
        "reference": fingerprint(reference.model),
        "scored completions": config.paths.scored,
        "reference completions": reference.scored,
    }
    with open_stage(
        config.paths.stage("train"), stage="train", config=config.stage_options("train"), inputs=inputs
    ) as stage:
        if stage.done:
            return
        rollouts, references = (read_records(path, ScoredRollout) for path in (config.paths.scored, reference.scored))
        rows = online_rows(rollouts, references, num_refs=config.data.num_refs)
        used = sum(len({row["reward"], *row["ref_rewards"]}) > 1 for row in rows)
        if config.train.drop_all_equal and not used:
            raise PipelineError(
                f"the rewards of all {len(rows)} completions equal those of their references, so there is nothing to "
                "learn from; take easier problems, more completions, or a stronger model"
            )
        display.note(f"{len(rows)} completions of {len(rollouts)} prompts; {used} differ from a reference")
        work = Work(
            rows=rows,
            used=used if config.train.drop_all_equal else len(rows),
            policy=policy,
            reference=None if reference.model == policy else reference.model,
        )
        with interrupts.raising():
            fit(config, stage, display, interrupts, work)


def _rewards(scored: Path, whose: str = "reference") -> dict[str, float]:
    rewards = [value for rollout in read_records(scored, ScoredRollout) for value in rollout.rewards]
    return {f"{whose}_reward": sum(rewards) / len(rewards), f"{whose}_passed": rewards.count(1.0) / len(rewards)}
