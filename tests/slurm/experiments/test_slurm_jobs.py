"""Tasks as Slurm jobs, with a stand-in for Slurm's commands."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slurm.errors import ExperimentError, SlurmError
from slurm.experiments.description import Limits, Resources, Stopping
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.held import read_held
from slurm.experiments.slurm_jobs import SlurmJobs
from slurm.experiments.submission_record import submissions_in
from slurm.experiments.task import Task

SCRIPT = """\
#!/bin/bash

# Parameters
#SBATCH --account=us
#SBATCH --array=0-1%5
#SBATCH --constraint=a100
#SBATCH --cpus-per-task=8
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --job-name=train-000000000000
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mail-type=END
#SBATCH --mem=64G
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='FOLDER/logs/%A_%a.log'
#SBATCH --partition=gpu
#SBATCH --qos=low
#SBATCH --requeue
#SBATCH --signal=B:USR2@300
#SBATCH --time=1-02

# setup
export SUBMITIT_PREEMPT_SIGNAL=USR2 SUBMITIT_LOG_LEVEL=ERROR
trap '' USR2  # until there is a handler
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
ln -s task.pkl 'FOLDER/submissions/00000000000000000000000000000000'/"$job"_submitted.pkl 2>/dev/null

# command
export SUBMITIT_EXECUTOR=slurm
exec PYTHON -u -m slurm.experiments.slurm_job 'FOLDER/submissions/00000000000000000000000000000000'
"""
ALL = Resources(
    time="1-02",
    nodes=2,
    cpus_per_task=8,
    gpus_per_node=4,
    memory="64G",
    partition="gpu",
    account="us",
    qos="low",
    constraint="a100",
    sbatch={"mail_type": "END", "exclusive": True, "overcommit": False},
)


def task(stage: str, number: int, needs: Sequence[str] = (), resources: Resources | None = None) -> Task:
    return Task(
        stage=stage,
        version=1,
        parameters={"n": number},
        script="true",
        environment={},
        workdir="/w",
        inputs=(),
        outputs=(),
        content={},
        needs=tuple(needs),
        resources=resources or Resources(),
        stopping=Stopping(),
    )


def stages(count: int) -> list[Task]:
    """So many of one stage, and as many of another that go pairwise with them."""
    first = [task("a", number) for number in range(count)]
    return first + [task("b", number, [f"a/n={number}"]) for number in range(count)]


Place = Any


def test_the_script_is_what_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no Slurm is needed
    folder = ExperimentFolder(tmp_path / "an experiment's")
    tasks = [
        task("train", number, resources=ALL).model_copy(update={"stopping": Stopping(ahead="00:05:00")})
        for number in range(2)
    ]
    ((members, text),) = SlurmJobs(folder, Limits(running=5)).scripts(tasks, {item.id: 1 for item in tasks}, {})
    assert members == tuple(tasks)
    told = text.replace(shlex.quote(sys.executable), "PYTHON").replace(
        str(folder.path).replace("'", "'\"'\"'"), "FOLDER"
    )
    assert told == SCRIPT
    assert not folder.path.exists()


def test_scripts_say_which_others_they_wait_for(place: Place) -> None:
    tasks = [*stages(2), task("c", 0, ["b/n=0", "b/n=1"])]
    scripts = list(SlurmJobs(place.folder, Limits()).scripts(tasks, {item.id: 1 for item in tasks}, {}))
    found = [re.findall(r"--dependency=(\S+)", text) for _, text in scripts]
    assert found == [[], ["aftercorr:JOB1"], ["afterok:JOB2"]]


def test_a_stage_is_one_array_and_the_next_waits_for_it(place: Place) -> None:
    submitted = place.submit(stages(3))
    assert [(item.task_id, item.job) for item in submitted] == [
        *((f"a/n={number}", f"7_{number}") for number in range(3)),
        *((f"b/n={number}", f"8_{number}") for number in range(3)),
    ]
    assert submitted[0].log == place.folder.logs / "7_0.log"
    assert (place.dependency(7), place.dependency(8), place.sbatches) == ("", "aftercorr:7", 2)


def test_an_array_is_no_larger_than_the_cluster_allows(place: Place) -> None:
    place.set("largest", "4")
    assert len(place.submit([task("a", number) for number in range(10)])) == 10
    assert place.sbatches == 3


def test_what_a_limit_of_the_cluster_holds_back_is_not_submitted_and_says_so(place: Place) -> None:
    place.set("room", "13")
    submitted = place.submit(stages(10))
    assert len(submitted) == len(place.queue) == 13
    held = read_held(place.folder)
    assert len(held) == 7
    assert all("QOSMaxSubmitJobPerUserLimit" in reason for reason in held.values())
    assert {item.task_id for item in submitted}.isdisjoint(held)


def test_a_limit_costs_few_calls(place: Place) -> None:
    place.set("room", "700")
    assert len(place.submit([task("a", number) for number in range(1000)])) == 700
    assert place.sbatches < 30


def test_what_needs_a_task_that_was_held_back_is_held_back_too(place: Place) -> None:
    place.set("room", "1")
    place.submit([task("a", 0), task("a", 1), task("b", 1, ["a/n=1"])])
    assert "needs a/n=1, which was not submitted" in read_held(place.folder)["b/n=1"]


def test_reasons_are_of_the_last_submission(place: Place) -> None:
    place.set("room", "0")
    place.submit([task("a", 0)])
    place.set("room", "9")
    place.submit([task("a", 0)])
    assert read_held(place.folder) == {}


def test_the_experiments_own_limit_is_kept(place: Place) -> None:
    submitted = place.submit(stages(4), Limits(queued=6), queued=1)
    assert [item.task_id for item in submitted] == [*(f"a/n={number}" for number in range(4)), "b/n=0"]
    assert "limits.queued is 6" in read_held(place.folder)["b/n=1"]


def test_an_sbatch_whose_answer_was_lost_is_not_repeated(place: Place) -> None:
    place.set("lost", "")
    assert [item.job for item in place.submit([task("a", 0), task("a", 1)])] == ["7_0", "7_1"]
    assert place.sbatches == 1


def test_a_no_is_not_repeated_and_leaves_nothing(place: Place) -> None:
    place.set("refuse", "sbatch: error: Batch job submission failed: Invalid partition name specified\n")
    with pytest.raises(SlurmError, match="Invalid partition"):
        place.submit([task("a", 0)])
    assert place.sbatches == 1
    assert list(submissions_in(place.folder)) == []


def test_a_time_limit_beyond_the_clusters_is_no_reason_to_wait(place: Place) -> None:
    place.set(
        "refuse",
        "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates "
        "accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
    )
    with pytest.raises(SlurmError, match="QOSMaxWallDurationPerJobLimit"):
        place.submit([task("a", 0)])


@pytest.mark.parametrize("name", ["job-name", "--array", "kill_on_invalid_dep", "signal"])
def test_options_that_are_decided_here_are_refused(place: Place, name: str) -> None:
    with pytest.raises(ExperimentError, match="decided for you"):
        place.submit([task("a", 0, resources=Resources(sbatch={name: "x"}))])
    assert place.sbatches == 0


def test_of_a_short_time_limit_a_command_is_told_at_its_half(place: Place) -> None:
    place.submit([task("a", 0, resources=Resources(time="2"))])
    assert "--signal=B:USR2@60\n" in (place.standin / "script-7").read_text()


def test_a_percent_sign_in_the_folders_path_is_no_pattern(place: Place, tmp_path: Path) -> None:
    place.folder = ExperimentFolder(tmp_path / "100%u")
    place.submit([task("a", 0)])
    assert f"--output={tmp_path}/100%%u/logs/%j.log\n" in (place.standin / "script-7").read_text()


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "a%jb", "%A", "%a", "%t"])
def test_a_path_that_slurm_or_submitit_cannot_use_is_refused(place: Place, tmp_path: Path, name: str) -> None:
    place.folder = ExperimentFolder(tmp_path / name)
    with pytest.raises(ExperimentError, match="another folder by --dir"):
        place.submit([task("a", 0)])
    assert place.sbatches == 0


def test_a_users_defaults_do_not_change_what_is_submitted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    (place.standin.parent / "bin" / "sbatch").unlink()
    script = place.standin.parent / "bin" / "sbatch"
    script.write_text(f"#!/bin/sh\nenv >'{place.standin}/environment'\necho 7\n")
    script.chmod(0o755)
    place.submit([task("a", 0)])
    given = (place.standin / "environment").read_text()
    assert "SBATCH_JOB_NAME" not in given
    assert "SLURM_JOB_ID" not in given
