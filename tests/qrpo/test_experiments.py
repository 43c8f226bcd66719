"""The experiments that come with the package: they can be submitted, and every command in them is taken."""

import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qrpo.config import PipelineConfig, parse
from qrpo.experiments.__main__ import HERE, copy, main
from slurm.experiments.description_file import load
from slurm.experiments.expansion import tasks_of
from slurm.experiments.task import Task

STUDY = "smollm2_ties"
NAMES = sorted(file.stem for file in HERE.glob("*.yaml"))
PIPELINES = [name for name in NAMES if name != STUDY]


def tasks(name: str) -> list[Task]:
    return tasks_of(load(HERE / f"{name}.yaml"), Path("/project"))


def commands(task: Task) -> Iterator[Sequence[str]]:
    """The arguments of each call of the pipeline in a task."""
    for line in task.script.replace("\\\n", " ").splitlines():
        _, is_one, rest = line.partition("-m qrpo.train_code ")
        if is_one:
            yield shlex.split(rest)


def asked(task: Task) -> PipelineConfig:
    """Of the only call, or the last one."""
    return parse(list(commands(task))[-1])


@pytest.mark.parametrize("name", PIPELINES)
def test_it_has_the_stages_of_the_pipeline_in_order(name: str) -> None:
    stages = list(dict.fromkeys(task.stage for task in tasks(name)))
    wanted = ["generate", "score", "merge", "train", "evaluate", "collect"]
    assert [stage for stage in stages if stage in wanted] == [stage for stage in wanted if stage in stages]
    assert {"generate", "score", "train", "evaluate", "collect"} <= set(stages)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_taken_and_writes_where_its_outputs_are(name: str) -> None:
    for stage in {task.stage: task for task in tasks(name)}.values():
        for words in commands(stage):
            if re.search("config.yaml|/chosen/", " ".join(words)):  # which another task makes
                continue
            config = parse(words)
            assert any(output.path.startswith(str(config.paths.root)) for output in stage.outputs)


@pytest.mark.parametrize("name", PIPELINES)
def test_outputs_are_checked_against_their_manifests(name: str) -> None:
    for task in tasks(name):
        if task.stage != "collect":
            checks = [output.check for output in task.outputs if output.check]
            assert checks
            reopened = re.findall(r"qrpo.check --reopen (.*)", task.script)[0].split()
            assert set(reopened) <= set(" ".join(checks).split())


def test_the_paper_has_72_runs_on_two_initial_models_and_batches_of_128_pairs() -> None:
    found = tasks("leetcode_paper")
    assert Counter(task.stage for task in found) == {
        "answers": 1,
        "finetune": 1,
        "generate": 16,
        "score": 16,
        "merge": 2,
        "train": 72,
        "evaluate": 72,
        "collect": 1,
    }
    runs = [task for task in found if task.stage == "train"]
    for loss in ("qrpo", "dpo", "rebel", "simpo"):
        mine = [task for task in runs if task.parameters["loss"] == loss]
        assert len(mine) == 18
        config = asked(mine[0])
        train, processes = config.train, mine[0].resources.nodes * (mine[0].resources.gpus_per_node or 0)
        batch = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
        assert batch == (256 if loss == "qrpo" else 128)
        assert train.algorithm == loss
        assert train.beta == mine[0].parameters["beta"]
        assert train.learning_rate == mine[0].parameters["rate"]
    simpo = next(task for task in runs if task.parameters["loss"] == "simpo")
    assert asked(simpo).train.simpo_margin == 0.5


def test_the_papers_fine_tuned_model_is_made_first_and_the_other_waits_for_nothing() -> None:
    found = {task.id: task for task in tasks("leetcode_paper")}
    assert found["generate/init=none,shard=0"].needs == ()
    assert found["generate/init=sft,shard=0"].needs == ("finetune/init=sft",)
    assert asked(found["generate/init=sft,shard=0"]).model_name == "runs/sft/train/model"
    finetune = found["finetune/init=sft"]
    processes = finetune.resources.nodes * (finetune.resources.gpus_per_node or 0)
    train = asked(finetune).train
    assert train.per_device_train_batch_size * train.gradient_accumulation_steps * processes == 128


def test_methods_on_one_gpu_have_three_seeds_and_equal_batches() -> None:
    runs = [task for task in tasks("leetcode_1gpu") if task.stage == "train"]
    assert Counter(task.parameters["loss"] for task in runs) == dict.fromkeys(
        ("qrpo", "dpo", "rebel", "simpo", "sft"), 3
    )
    for task in runs:
        config = asked(task)
        assert config.train.seed == task.parameters["seed"]
        pairs = config.train.algorithm in {"dpo", "rebel", "simpo"}
        size = config.train.per_device_train_batch_size * config.train.gradient_accumulation_steps
        assert size == (32 if pairs else 64)


def test_all_runs_of_an_experiment_take_the_completions_that_it_makes() -> None:
    for name in PIPELINES:
        found = tasks(name)
        made = {
            str(Path(output.path).parents[1])
            for task in found
            for output in task.outputs
            if task.stage in {"merge", "score"}
        }
        for task in found:
            if task.stage == "train":
                source = asked(task).run.completions_from
                assert source is not None
                assert str(Path(source).relative_to(Path.cwd())) in made


def test_methods_of_the_study_are_tuned_on_as_many_options_and_trained_on_the_same_completions() -> None:
    """Sixteen a step, of the same four of each prompt; tuned without held-out problems."""
    found = tasks(STUDY)
    tuned = [task for task in found if task.stage == "tune"]
    methods = {str(task.parameters["method"]) for task in tuned}
    assert Counter(str(task.parameters["method"]) for task in tuned) == {
        name: 2 if name == "sft" else 4 for name in methods
    }
    shared, rules = set(), {}
    for task in tuned:
        [words] = commands(task)
        config = parse(words)
        data, train = config.data, config.train
        pairs = train.algorithm in {"dpo", "rebel", "simpo"}
        assert train.per_device_train_batch_size == (8 if pairs else 16)
        assert data.pairing == ("ranked" if pairs else None)
        assert data.heldout_problems is None
        assert train.beta == (0.1 if train.algorithm == "sft" else task.parameters["beta"])
        shared.add(
            (
                data.completions_per_prompt,
                train.max_steps,
                train.warmup_steps,
                train.seed,
                config.paths.completions_from,
            )
        )
        if train.algorithm == "qrpo":
            rules[str(task.parameters["method"])] = train.ties, train.log_z, train.target_low, train.drop_all_equal
    assert {item[0] for item in shared} == {4}
    assert len(shared) == 1
    assert rules == {
        "qrpo-le": ("le", "closed_form", None, False),
        "qrpo-exact": ("exact", "closed_form", None, False),
        "qrpo-mid": ("mid", "closed_form", None, False),
        "qrpo-le-clip": ("le", "closed_form", 0.0, False),
        "qrpo-le-filter": ("le", "closed_form", None, True),
        "qrpo-profiled": ("le", "profiled", None, True),
    }


def test_final_runs_of_the_study_take_the_options_that_were_chosen_for_their_method() -> None:
    found = {task.id: task for task in tasks(STUDY)}
    finals = [task for task in found.values() if task.stage == "final"]
    assert set(Counter(task.parameters["method"] for task in finals).values()) == {3}
    for task in finals:
        choice = found[f"choose/method={task.parameters['method']}"]
        assert task.needs == (choice.id,)
        assert f"--config {choice.outputs[0].path} " in task.script
        assert set(choice.needs) == {
            name for name, one in found.items()
            if one.stage == "tune" and one.parameters["method"] == task.parameters["method"]
        }  # fmt: skip
    compared = re.findall(r"final/\{(.*)\} ", found["compare"].script)
    names = subprocess.check_output(["bash", "-c", f"echo {{{compared[0]}}}"], text=True).split()
    assert sorted(names) == sorted({str(task.parameters["method"]) for task in finals})


def test_a_copy_comes_with_what_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leetcode_paper", str(tmp_path / "new")]) == 0
    named = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert named == ["leetcode_paper.yaml", "launch.sh", "fsdp2.yaml"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(named)
    assert [path.name for path in copy("smollm2_cpu", tmp_path)] == ["smollm2_cpu.yaml"]


def test_a_copy_that_was_edited_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [file] = copy("smollm2_cpu", tmp_path)
    copy("smollm2_cpu", tmp_path)
    file.write_text("mine")
    assert main(["smollm2_cpu", str(tmp_path)]) == 1
    assert str(file) in capsys.readouterr().err
    assert file.read_text() == "mine"
