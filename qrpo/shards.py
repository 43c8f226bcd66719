"""Shards of a stage, and the file they make up.

    RUN/generate.shards/00003-of-00008/   as RUN/generate/, of every eighth batch of prompts
    RUN/score.shards/00003-of-00008/      as RUN/score/, of the completions of that shard

Merged, they are what the stage makes without shards, byte for byte, but for how far programs came that hit a limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from qrpo.artifacts import Manifest, Stage, check_folder, check_outputs, read_manifest
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.errors import ShardError
from qrpo.files import hash_file
from qrpo.journal import RecordFile, write_records
from qrpo.paths import SHARDED, RunPaths, Shard
from qrpo.problems import load_split
from qrpo.records import Rollout, ScoredRollout
from qrpo.run_options import MERGE, STAGES

_NAME = re.compile(r"(\d{5})-of-(\d{5})")
_COMPLETIONS = "completions"
"""Name of the input of the stage `score`."""


def stages_to_run(config: PipelineConfig) -> tuple[str, ...]:
    """The stages that the configuration asks for, and before them those whose shards are not merged yet.

    Raises:
        ShardError: there are no shards to merge.
    """
    asked = config.run.stage
    if config.run.part is not None:
        return (asked,)
    if asked == "all":
        return STAGES
    sharded = [name for name in SHARDED if has_shards(config.paths, name)]
    if asked == MERGE:
        if not sharded:
            raise ShardError(f"there are no shards to merge in {config.paths.root}, such as {SHARDED[0]}.shards")
        return tuple(sharded)
    earlier = STAGES[: STAGES.index(asked)]
    return (*(name for name in earlier if name in sharded and not _is_done(config.paths, name)), asked)


def has_shards(paths: RunPaths, name: str) -> bool:
    """Whether a stage is, or was, done in shards, so that the whole of it is made by merging."""
    return paths.shard is None and name in SHARDED and paths.shards(name).is_dir()


def merge(config: PipelineConfig, name: str, stage: Stage, display: Display) -> None:
    """Makes a stage's output of its shards.

    Args:
        config: of the whole.
        name: of the stage.
        stage: of the whole.
        display: says how much was merged.

    Raises:
        ShardError: a shard is missing or unfinished, or prompts or completions are; names it.
        StaleFolderError: a shard was made with other options, or from other inputs.
        PipelineError: a file was changed since its shard was done.
    """
    folder = config.paths.shards(name)
    shards = find_shards(folder, name)
    record = Rollout if name == "generate" else ScoredRollout
    records: dict[Shard, Sequence[Rollout]] = {}
    for shard in shards:
        paths = RunPaths(config.paths.root, shard)
        part = replace(config, run=replace(config.run, stage=name, shard=shard.index, num_shards=shard.count))
        stage.add_versions(_check_shard(part, name, stage.inputs).versions)
        records[shard] = RecordFile(_output(paths, name), record)
    ids = [problem.id for problem in load_split(config.data, "train")]
    places = _places(records, config.generate.num_completions, folder)
    order = _in_order(places, ids, folder, complete=config.generate.max_prompt_tokens is None)
    target = _output(config.paths, name)
    write_records(target, (records[place.shard][place.line] for place in order))
    stage.finish([target.name])
    display.note(f"{len(order)} prompts of {len(shards)} shards")


def find_shards(folder: Path, name: str) -> list[Shard]:
    """All shards of a stage, in order.

    Raises:
        ShardError: a folder is missing or is no shard, or they are of more than one division.
    """
    found: list[Shard] = []
    for entry in sorted(folder.iterdir()):
        match = _NAME.fullmatch(entry.name)
        if match is None or int(match[1]) >= int(match[2]):
            raise ShardError(f"{entry} is no shard of the stage {name}, such as {Shard(0, 8)}; move it away")
        found.append(Shard(int(match[1]), int(match[2])))
    counts = sorted({shard.count for shard in found})
    if len(counts) > 1:
        raise ShardError(
            f"{folder} holds shards of different divisions: into {' and into '.join(map(str, counts))}; "
            "delete all but those of one"
        )
    count = counts[0] if counts else 0
    missing = sorted({Shard(index, count) for index in range(count)} - set(found))
    if missing or not found:
        raise ShardError(_to_do(folder, name, missing, "is missing") if found else f"{folder} is empty; delete it")
    return found


def _check_shard(config: PipelineConfig, name: str, inputs: Mapping[str, str]) -> Manifest:
    """The manifest of a shard; refuses one that is not done, or not of this run.

    Args:
        inputs: hashes of those of the whole stage.
    """
    path, shard = config.paths.stage(name), config.paths.shard
    assert shard is not None
    manifest = read_manifest(path)
    if manifest is None or not manifest.done:
        raise ShardError(_to_do(path.parent, name, [shard], "is not finished"))
    mine = dict(inputs)
    if _COMPLETIONS in mine:
        mine[_COMPLETIONS] = hash_file(config.paths.completions) if config.paths.completions.is_file() else "missing"
    check_folder(path, stage=name, config=config.stage_options(name), hashes=mine)
    check_outputs(path, manifest)
    return manifest


class _Place(NamedTuple):
    """Where a prompt's completions are."""

    shard: Shard
    line: int


def _places(records: Mapping[Shard, Sequence[Rollout]], completions: int, folder: Path) -> dict[str, list[_Place]]:
    """All places of each prompt; one at a time is in memory."""
    places: dict[str, list[_Place]] = {}
    for shard, part in records.items():
        for line, rollout in enumerate(part):
            places.setdefault(rollout.problem_id, []).append(_Place(shard, line))
            if len(rollout.completions) != completions:
                raise ShardError(
                    f"{folder}: problem {rollout.problem_id!r} has {len(rollout.completions)} completions; "
                    f"num_completions is {completions}"
                )
    return places


def _in_order(
    places: Mapping[str, Sequence[_Place]], ids: Sequence[str], folder: Path, *, complete: bool
) -> list[_Place]:
    """The places of all prompts in the order of the problems, each once.

    Args:
        complete: no problem was left out.
    """
    for name, found in places.items():
        if len(found) > 1:
            holders = ", ".join(dict.fromkeys(str(place.shard) for place in found))
            raise ShardError(f"{folder}: problem {name!r} is in {len(found)} places: shards {holders}")
    missing = set(ids) - places.keys() if complete else set()
    unknown = places.keys() - set(ids)
    wrong = [
        f"{len(names)} {what}, such as {min(names)!r}"
        for what, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    if wrong:
        raise ShardError(f"{folder}: of the {len(ids)} training problems the shards have {' and '.join(wrong)}")
    return [places[name][0] for name in ids if name in places]


def _to_do(folder: Path, name: str, shards: Sequence[Shard], what: str) -> str:
    """What is wrong with shards of a stage, and the command that mends it."""
    listed = ", ".join(map(str, shards[:5])) + (f" and {len(shards) - 5} more" if len(shards) > 5 else "")
    return (
        f"{folder}: shard {listed} {what}. Run the same command with --stage {name} --num_shards {shards[0].count} "
        f"--shard {shards[0].index}, or delete {folder} to do the stage as a whole."
    )


def _is_done(paths: RunPaths, name: str) -> bool:
    manifest = read_manifest(paths.stage(name))
    return manifest is not None and manifest.done


def _output(paths: RunPaths, name: str) -> Path:
    return paths.completions if name == "generate" else paths.scored
