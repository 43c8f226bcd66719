"""What a user writes: one YAML file for each experiment.

    name: grid
    variables: {runs: /scratch/me/runs}
    setup: source ~/venv/bin/activate
    resources: {partition: gpu, time: "04:00:00"}
    stages:
      generate:
        grid: {shard: {range: 8}}
        command: python generate.py --shard {{ shard }} --out {{ runs }}/{{ shard }}.jsonl
        outputs: ["{{ runs }}/{{ shard }}.jsonl"]
      train:
        after: [generate]
        grid:
          - {loss: dpo, beta: [0.01, 0.1]}
          - {loss: qrpo, beta: [0.001, 0.01]}
        command: python train.py --loss {{ loss }} --beta {{ beta }}
        resources: {gpus_per_node: 4}

Texts are Jinja templates over `variables`, the parameters of the grid, `stage` and its `version`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from slurm.times import seconds

Scalar: TypeAlias = bool | int | float | str
MOST_TASKS = 100_000
"""Of an experiment; each has a folder with a dozen files."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name: letters, digits, and _ . - after the first")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a variable: letters, digits and _, no digit first")
    return text


def _without_null(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"{text!r} has a null character, which no process can be given")
    return text


def _time(text: str) -> str:
    seconds(text)
    return text


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise ValueError(f"{text!r} is no amount of memory: write 16G")
    return text


def _scalar(value: object) -> Scalar:
    if not isinstance(value, bool | int | float | str):
        words = "null" if value is None else str(value)
        raise ValueError(
            f"{words} is no value; give a number, true, false or a text in quotes, a list of such, or {{range: N}}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number; give it as a text in quotes where the command knows it")
    return value


def _values(found: object) -> Sequence[Scalar]:
    """Of a parameter: one, a list, or `{range: N}`."""
    if isinstance(found, dict) and found.keys() == {"range"}:
        count = found["range"]
        if type(count) is not int or not 1 <= count <= MOST_TASKS:
            raise ValueError(f"range is {count!r}; give a whole number from 1 to {MOST_TASKS}")
        return range(count)
    values = found if isinstance(found, list) else [found]
    if not values:
        raise ValueError("it has no value")
    return [_scalar(value) for value in values]


Name: TypeAlias = Annotated[str, AfterValidator(_name)]
Environment: TypeAlias = Mapping[
    Annotated[str, AfterValidator(_variable)], Annotated[str, AfterValidator(_without_null)]
]
Time: TypeAlias = Annotated[str, AfterValidator(_time)]
Memory: TypeAlias = Annotated[str, AfterValidator(_memory)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Resources(_Model):
    """What each job asks of Slurm; the local executor heeds `cpus_per_task` and `gpus_per_node`."""

    time: Time = "01:00:00"
    """As sbatch's --time."""
    nodes: int = Field(default=1, ge=1)
    cpus_per_task: int | None = Field(default=None, ge=1)
    """None: what the partition gives."""
    gpus_per_node: int | None = Field(default=None, ge=0)
    memory: Memory | None = None
    """Of each node, as sbatch's --mem."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    sbatch: Mapping[str, str | bool] = Field(default_factory=dict)
    """Any other option, by its long name; true for a flag."""


class Output(_Model):
    """A file or folder that a job makes, and when it is whole."""

    path: str
    format: Literal["any", "json", "jsonl"] = "any"
    """any: it is there and not empty. json: one value. jsonl: one on each line, and the last line is ended."""
    lines: int | str | None = None
    """Exactly so many, or a template that gives the number."""
    check: str | None = None
    """A command that succeeds where the output is valid."""


class Stopping(_Model):
    """What happens ahead of a time limit, or when a job is preempted."""

    signal: Literal["TERM", "INT", "USR1", "USR2"] = "TERM"
    """For the command: it saves what it has and ends."""
    ahead: Time = "00:02:00"
    """How long before the time limit."""
    requeues: int = Field(default=20, ge=0)
    """How often the job runs into its limit and goes on; 0: the command cannot be continued."""


Values: TypeAlias = Annotated[Sequence[Scalar], PlainValidator(_values)]
Block: TypeAlias = dict[Name, Values]


class Stage(_Model):
    """Jobs that differ in their parameters only."""

    command: str | list[str]
    """For bash, under `set -euo pipefail`; or words."""
    grid: Block | list[Block] = Field(default_factory=dict)
    """Parameters: all combinations of a block's values; the blocks' one after another."""
    after: list[Name] = Field(default_factory=list)
    """Stages whose jobs must have succeeded: those with the same values of the parameters that both stages have."""
    inputs: list[str] = Field(default_factory=list)
    """Files and folders that must be there. Files that no job makes are known by their content."""
    outputs: list[str | Output] = Field(default_factory=list)
    resources: Resources = Resources()
    """Over those of the experiment."""
    stopping: Stopping = Stopping()
    environment: Environment = Field(default_factory=dict)
    """Over that of the experiment."""
    disk: Memory | None = None
    """What the outputs of each job take, at most; looked at before anything is submitted."""
    version: int = Field(default=1, ge=1)
    """A higher number runs the stage anew after its command was changed; what the old one made stays as it is, so that
    outputs are to have other paths: templates know it as `version`."""


class Limits(_Model):
    """What a cluster's other users expect."""

    queued: int | None = Field(default=None, ge=1)
    """Jobs in the queue, waiting and running; the others are submitted as these end (`submit --wait`)."""
    running: int | None = Field(default=None, ge=1)
    """Of one array at a time."""


class Description(_Model):
    """An experiment as its file says it."""

    name: Name
    variables: Mapping[str, object] = Field(default_factory=dict)
    """For templates; `env` there holds the environment of `submit`."""
    setup: str = ""
    """Shell lines ahead of each command: modules, a virtual environment."""
    environment: Environment = Field(default_factory=dict)
    resources: Mapping[str, object] = Field(default_factory=dict)
    """See `Resources`."""
    limits: Limits = Limits()
    stages: dict[Name, Stage] = Field(min_length=1)

    def resources_of(self, stage: str) -> Resources:
        """Of a stage's jobs: its own over the experiment's, options of sbatch one by one.

        Raises:
            ValidationError: the experiment's are no resources.
        """
        mine = self.stages[stage].resources
        shared = Resources.model_validate(dict(self.resources))
        given = {name: getattr(mine, name) for name in mine.model_fields_set}
        return shared.model_copy(update={**given, "sbatch": {**shared.sbatch, **mine.sbatch}})
