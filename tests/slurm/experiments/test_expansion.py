"""From descriptions to tasks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slurm.errors import DescriptionError
from slurm.experiments.description_file import load
from slurm.experiments.expansion import tasks_of
from slurm.experiments.task import Task

WORKDIR = Path("/project")


@pytest.fixture
def expanded(tmp_path: Path) -> Callable[..., list[Task]]:
    def expand(stages: str, more: str = "", changes: tuple[str, ...] = ()) -> list[Task]:
        path = tmp_path / "experiment.yaml"
        path.write_text(f"name: test\n{more}\nstages:\n{stages}")
        return tasks_of(load(path, changes), WORKDIR)

    return expand


def test_a_grid_is_all_combinations_with_the_last_parameter_fastest(expanded: Callable[..., list[Task]]) -> None:
    tasks = expanded("  a: {command: 'run {{ x }} {{ y }}', grid: {x: [1, 2], y: [u, v]}}")
    assert [task.script.splitlines()[-1] for task in tasks] == ["run 1 u", "run 1 v", "run 2 u", "run 2 v"]
    assert [task.id for task in tasks][:2] == ["a/x=1,y=u", "a/x=1,y=v"]


def test_blocks_follow_each_other_and_a_range_counts_from_zero(expanded: Callable[..., list[Task]]) -> None:
    tasks = expanded("  a: {command: c, grid: [{x: 5, y: {range: 2}}, {x: [6], y: 7}]}")
    assert [task.id for task in tasks] == ["a/x=5,y=0", "a/x=5,y=1", "a/x=6,y=7"]


def test_an_output_is_checked_in_the_environment_that_the_command_had(expanded: Callable[..., list[Task]]) -> None:
    [task] = expanded(
        "  a: {command: c, outputs: [{path: x, check: 'look {{ stage }}'}]}", "setup: source {{ stage }}/venv"
    )
    assert task.script.splitlines() == ["set -euo pipefail", "source a/venv", "c"]
    assert (task.outputs[0].check or "").splitlines() == ["set -euo pipefail", "source a/venv", "look a"]


def test_a_task_waits_for_those_that_agree_in_what_both_have(expanded: Callable[..., list[Task]]) -> None:
    stages = """
  train: {command: t, after: [sample], grid: {init: [a, b], beta: [1, 2]}}
  sample: {command: s, grid: {init: [a, b], shard: {range: 2}}}
  judge: {command: j, after: [train]}
"""
    tasks = {task.id: task for task in expanded(stages)}
    assert tasks["train/init=b,beta=1"].needs == ("sample/init=b,shard=0", "sample/init=b,shard=1")
    assert len(tasks["judge"].needs) == 4
    assert next(iter(tasks)).startswith("sample")


def test_a_task_with_which_none_agrees_waits_for_nothing(expanded: Callable[..., list[Task]]) -> None:
    stages = "  tune: {command: t, grid: {init: sft}}\n  sample: {command: s, after: [tune], grid: {init: [none, sft]}}"
    needs = {task.id: task.needs for task in expanded(stages)}
    assert needs["sample/init=none"] == ()
    assert needs["sample/init=sft"] == ("tune/init=sft",)


def test_texts_are_filled_in_from_variables_parameters_and_the_environment(
    expanded: Callable[..., list[Task]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch")
    [task] = expanded(
        """
  a:
    grid: {init: base}
    command: "run {{ models[init] }} {{ folder | quote }} ${HOME}"
    environment: {NAME: "{{ stage }}"}
    inputs: ["{{ folder }}/in"]
    outputs: ["out", {path: "{{ folder }}/x.jsonl", format: jsonl, lines: "{{ 2 * count }}"}]
""",
        'variables: {models: {base: org/model}, folder: "{{ env.SCRATCH }}/a b", count: 3}\nsetup: module load x',
    )
    assert task.script == "set -euo pipefail\nmodule load x\nrun org/model '/scratch/a b' ${HOME}"
    assert task.environment == {"NAME": "a"}
    assert task.inputs == ("/scratch/a b/in",)
    assert task.outputs[1].lines == 6
    assert task.output_paths == [WORKDIR / "out", Path("/scratch/a b/x.jsonl")]


def test_a_variable_can_be_set_from_outside(expanded: Callable[..., list[Task]]) -> None:
    [task] = expanded("  a: {command: 'run {{ n + 1 }}'}", "variables: {n: 1}", ("n=2",))
    assert task.script.endswith("run 3")


@pytest.mark.parametrize("changes", [(), ("folder=",)])
def test_a_variable_without_a_value_is_no_text(expanded: Callable[..., list[Task]], changes: tuple[str, ...]) -> None:
    with pytest.raises(DescriptionError, match="null has no text"):
        expanded("  a: {command: 'mkdir -p {{ folder }}'}", "variables: {folder: }", changes)
    [task] = expanded("  a: {command: 'mkdir -p x{{ folder }}'}", "variables: {folder: }", ("folder=''",))
    assert task.script.endswith("mkdir -p x")
    [task] = expanded("  a: {command: 'c {% if folder %}{{ folder }}{% endif %}'}", "variables: {folder: }", changes)
    assert task.script.endswith("c")


def test_resources_of_a_stage_are_over_those_of_the_experiment(expanded: Callable[..., list[Task]]) -> None:
    shared = "resources: {partition: gpu, time: '10', sbatch: {mail-type: END, exclusive: true}}"
    [task] = expanded("  a: {command: c, resources: {time: '20', sbatch: {mail-type: FAIL}}}", shared)
    assert (task.resources.partition, task.resources.time) == ("gpu", "20")
    assert task.resources.sbatch == {"mail-type": "FAIL", "exclusive": True}


def test_what_is_done_and_made_is_in_the_fingerprint_and_what_is_asked_of_slurm_is_not(
    expanded: Callable[..., list[Task]],
) -> None:
    [task] = expanded("  a: {command: c, outputs: [o]}")
    for same in (
        "  a: {command: c, outputs: [o], resources: {time: '9'}}",
        "  a: {command: c, outputs: [o], stopping: {requeues: 0}}",
    ):
        assert expanded(same)[0].fingerprint == task.fingerprint
    for other in (
        "  a: {command: d, outputs: [o]}",
        "  a: {command: c, outputs: [p]}",
        "  a: {command: c, outputs: [{path: o, format: json}]}",
        "  a: {command: c, outputs: [o], environment: {X: '1'}}",
    ):
        [found] = expanded(other)
        assert found.fingerprint != task.fingerprint
        assert len(found.differences(task)) == 1


def test_a_version_is_another_task(expanded: Callable[..., list[Task]]) -> None:
    tasks = expanded("  a: {command: 'c v{{ version }}', version: 2}\n  b: {command: c, after: [a]}")
    assert [task.id for task in tasks] == ["a@2", "b"]
    assert tasks[0].script.endswith("c v2")


def test_folder_names_are_short_plain_and_different(expanded: Callable[..., list[Task]]) -> None:
    long = "x" * 300
    tasks = expanded(f"  a: {{command: c, grid: {{p: [org/one, 'org_one', 'ü b', {long}a, {long}b]}}}}")
    names = [task.folder_name for task in tasks]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(name) <= 120
        assert name.isascii()
        assert not set("/ ") & set(name)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ("  a: {command: c, after: [b]}", "stages.a.after: there is no stage 'b'; there are a"),
        ("  a: {command: c, after: [b]}\n  b: {command: c, after: [a]}", "stages wait for each other: "),
        ("  a: {command: 'c {{ x }}'}", "stages.a: 'c {{ x }}' cannot be filled in: 'x' is undefined"),
        ("  a: {command: 'c {{ env.NOWHERE }}'}", "cannot be filled in: NOWHERE is not set in the environment"),
        ("  a: {command: 'c {{'}", "cannot be filled in"),
        ("  a: {command: 'c {{ 1 / 0 }}'}", "cannot be filled in: division by zero"),
        ("  a: {command: 'c {{ none }}/x'}", "stages.a: 'c {{ none }}/x' cannot be filled in: null has no text"),
        ("  a: {command: 'c {{ none | quote }}'}", "cannot be filled in: null has no text; give the variable a value"),
        (
            "  a: {command: 'c {% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}'}",
            "cannot be filled in: maximum recursion depth exceeded",
        ),
        ("  a: {command: 'c {{ 1 | dictsort }}'}", "cannot be filled in: 'int' object has no attribute 'items'"),
        ("  a: {command: c, environment: {'A=B': c}}", "stages.a.environment.A=B: 'A=B' is no name of a variable"),
        ('  a: {command: c, environment: {A: "x\\0"}}', "stages.a.environment.A: 'x\\x00' has a null character"),
        ("  a: " + "[" * 3000 + "]" * 3000, "it is nested too deeply"),
        ("  a: {command: c, grid: {x: 2026-13-45}}", "month must be in 1..12"),
        ("  a: {command: c, grid: {x: []}}", "stages.a.grid.x: it has no value"),
        ("  a: {command: c, grid: {x: [0.1, .inf]}}", "stages.a.grid.x: inf is no finite number"),
        ("  a: {command: c, grid: [{x: 1}, {x: [.nan]}]}", "stages.a.grid.1.x: nan is no finite number"),
        ("  a: {command: c, grid: {x: 1e400}}", "stages.a.grid.x: inf is no finite number"),
        ("  a: {command: c, grid: {x: [1, [2]]}}", "stages.a.grid.x: [2] is no value; give a number"),
        ("  a: {command: c, grid: {x: null}}", "stages.a.grid.x: null is no value; give a number"),
        ("  a: {command: c, grid: {x: {range: 0}}}", "stages.a.grid.x: range is 0; give a whole number from 1 to"),
        ("  a: {command: c, grid: {x: {range: true}}}", "stages.a.grid.x: range is True; give a whole number"),
        ("  a: {command: c, grid: {x: {range: 1000000000}}}", "range is 1000000000; give a whole number from 1 to"),
        (
            "  a: {command: c}\n  b: {command: c, grid: {x: {range: 50000}, y: [1, 2]}}",
            "stages.b.grid: with it there are 100001 tasks; 100000 are allowed",
        ),
        ("  a: {command: c, outputs: [{pth: o}]}", "stages.a.outputs.0.path: Field required"),
        ("  a: {command: c, grid: {x: [1, 1]}}", "a/x=1 is there twice"),
        ("  a: {command: c, grid: [{x: 1}, {y: 1}]}", "one block has x, another y"),
        ("  a: {command: c, grid: {env: 1}}", "stages.a.grid.env: a variable has this name"),
        ("  a: {command: c, outputs: [o], grid: {x: [1, 2]}}", "a/x=1 and a/x=2 both make /project/o"),
        ("  a: {command: c, grid: {x: [b, B]}}", "a/x=b and a/x=B differ by case alone"),
        (
            "  a: {command: c, grid: {x: 1}}\n  b: {command: c, after: [a], grid: {x: 2}}",
            "stages.b.after: no job of a has the",
        ),
        ("  a: {command: c, outputs: [{path: o, lines: 3}]}", "lines are counted with format: jsonl"),
        ("  a: {command: c, outputs: [{path: o, format: jsonl, lines: many}]}", "lines is 'many', which is no number"),
        ("  a: {comand: c}", "stages.a.comand: Extra inputs are not permitted"),
        ("  a: {command: c, resources: {time: soon}}", "stages.a.resources.time: 'soon' is no time"),
        ("  a: {command: c, resources: {memory: much}}", "'much' is no amount of memory"),
        ("  'a b': {command: c}", "'a b' is no name"),
        ("  a: {command: c}\n  a: {command: d}", "'a' is there twice"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_place(
    expanded: Callable[..., list[Task]], stages: str, words: str
) -> None:
    with pytest.raises(DescriptionError) as caught:
        expanded(stages)
    assert words in str(caught.value)
    assert str(caught.value).count("stages.") <= 2
    assert "function-" not in str(caught.value)


@pytest.mark.parametrize("loop", ["a: '{{ b }}', b: '{{ a }}'", "a: '{{ a }}x'"])
def test_variables_that_are_made_of_each_other_are_refused(expanded: Callable[..., list[Task]], loop: str) -> None:
    with pytest.raises(DescriptionError, match="made of itself"):
        expanded("  s: {command: '{{ a }}'}", f"variables: {{{loop}}}")


def test_an_unknown_variable_from_outside_is_refused(expanded: Callable[..., list[Task]]) -> None:
    with pytest.raises(DescriptionError, match="there is no variable 'm'; there are n"):
        expanded("  a: {command: c}", "variables: {n: 1}", ("m=2",))
