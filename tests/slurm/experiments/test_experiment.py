"""An experiment's folder, and how tasks are given to an executor."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from slurm.errors import ChangedError, ExperimentError
from slurm.experiments.events import Ended, Started, Submitted, append
from slurm.experiments.executor import Submission
from slurm.experiments.experiment import (
    Experiment,
    attempts_for,
    folder_of,
    give,
    opened,
)
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.plan import Plan
from slurm.experiments.state import Kind, State
from slurm.experiments.submission_record import Entry, SubmissionRecord
from slurm.experiments.task import Task

CHAIN = "  a: {command: c}\n  b: {command: c, after: [a]}"


class Recorder:
    """Takes some tasks, then fails."""

    def __init__(self, takes: int = 9) -> None:
        self.jobs: Mapping[str, str] = {}
        self.attempts: Mapping[str, int] = {}
        self._takes = takes
        """-1: none, and does not fail."""
        self.has_ended = False

    def submit(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[Submission]:
        self.attempts, self.jobs = attempts, jobs
        try:
            for place, task in enumerate(tasks if self._takes >= 0 else ()):
                if place == self._takes:
                    raise ExperimentError("no more")
                yield Submission(task.id, str(place), Path("log"))
        finally:
            self.has_ended = True


def planned(experiment: Experiment, *names: str) -> Plan:
    return Plan(todo=[experiment.tasks[name] for name in names], held=[], stuck=[])


def kinds(experiment: Experiment, **found: Kind) -> dict[str, State]:
    return {
        name: State(task=task, kind=found.get(name, Kind.NOT_SUBMITTED), job=f"job-{name}")
        for name, task in experiment.tasks.items()
    }


def test_what_was_submitted_before_a_failure_is_written_down(written: Callable[..., Experiment]) -> None:
    experiment = written(CHAIN)
    with pytest.raises(ExperimentError):
        list(give(experiment, planned(experiment, "a", "b"), kinds(experiment), Recorder(takes=1)))
    (first,) = experiment.folder.attempts(experiment.tasks["a"])
    assert [type(event) for event in first.events()] == [Submitted]
    assert experiment.folder.attempts(experiment.tasks["b"]) == []


@pytest.mark.parametrize(("is_in_doubt", "last"), [(False, 1), (True, 2)])
def test_an_attempt_that_is_refused_is_withdrawn_unless_there_may_be_a_job(
    written: Callable[..., Experiment], is_in_doubt: bool, last: int
) -> None:
    experiment = written(CHAIN)
    task = experiment.tasks["a"]
    experiment.folder.attempt(task, 1).path.mkdir(parents=True)
    append(experiment.folder.attempt(task, 1).events_path, Ended(time=1, code=1))
    if is_in_doubt:
        record = SubmissionRecord(uuid="0" * 32, stage="a", is_array=False, entries={0: Entry("a", 2)})
        record.save(experiment.folder)
    with pytest.raises(ExperimentError, match="no more"):
        list(give(experiment, planned(experiment, "a", "b"), kinds(experiment, a=Kind.FAILED), Recorder(takes=0)))
    assert experiment.folder.attempts(task)[-1].number == last
    assert experiment.folder.attempts(experiment.tasks["b"]) == []


def test_what_an_executor_holds_back_stays_to_be_submitted(written: Callable[..., Experiment]) -> None:
    experiment = written(CHAIN)
    assert list(give(experiment, planned(experiment, "a"), kinds(experiment), Recorder(takes=-1))) == []
    assert len(experiment.folder.attempts(experiment.tasks["a"])) == 1


def test_what_has_failed_and_is_held_back_is_to_be_submitted_later(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c}\n  b: {command: c}\n  c: {command: c}")
    tasks = list(experiment.tasks.values())
    for task in tasks[:2]:
        experiment.folder.attempt(task, 1).path.mkdir(parents=True)
        append(experiment.folder.attempt(task, 1).events_path, Ended(time=1, code=1))
    recorder = Recorder()
    list(give(experiment, Plan(todo=tasks[:1], held=tasks[1:], stuck=[]), kinds(experiment), recorder))
    assert recorder.attempts == {"a": 2}
    assert [len(experiment.folder.attempts(task)) for task in tasks] == [2, 2, 0]


def test_jobs_of_what_waits_or_runs_are_told_to_the_executor(written: Callable[..., Experiment]) -> None:
    experiment = written(CHAIN)
    recorder = Recorder()
    list(give(experiment, planned(experiment, "b"), kinds(experiment, a=Kind.RUNNING), recorder))
    assert recorder.jobs == {"a": "job-a"}
    list(give(experiment, planned(experiment, "b"), kinds(experiment, a=Kind.SUCCEEDED), recorder))
    assert recorder.jobs == {}


def test_who_stops_in_the_midst_ends_the_executor_at_once(written: Callable[..., Experiment]) -> None:
    experiment = written(CHAIN)
    recorder = Recorder()
    submissions = give(experiment, planned(experiment, "a", "b"), kinds(experiment), recorder)
    next(submissions)
    submissions.close()
    assert recorder.has_ended


def test_an_attempt_of_which_nobody_knows_a_job_is_used_again_and_any_other_is_followed(
    written: Callable[..., Experiment],
) -> None:
    experiment = written(CHAIN)
    task = experiment.tasks["a"]

    def following() -> int:
        return attempts_for(experiment, [task])["a"].number

    assert following() == 1
    attempt = experiment.folder.attempt(task, 1)
    attempt.path.mkdir(parents=True)
    assert following() == 1
    attempt.claim.write_text("7")  # a job has it, whatever became of its events
    assert following() == 2
    attempt.claim.unlink()
    append(attempt.events_path, Started(time=1, job="7", host="n", pid=1))
    assert following() == 2


def test_the_experiment_is_the_named_one_or_the_only_one_here(
    written: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(CHAIN).folder
    assert folder.path == tmp_path / "test.experiment"
    assert folder_of(tmp_path / "test.yaml") == folder_of(tmp_path / "test.experiment") == folder
    monkeypatch.chdir(tmp_path)
    assert folder_of(None) == folder
    monkeypatch.chdir(folder.path)
    assert folder_of(None) == folder
    monkeypatch.chdir("/")
    with pytest.raises(ExperimentError, match="which experiment"):
        folder_of(None)


def test_two_files_that_differ_by_suffix_alone_do_not_share_a_folder(
    written: Callable[..., Experiment], tmp_path: Path
) -> None:
    folder = written(CHAIN).folder
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "test.yaml")
    (tmp_path / "link.experiment").symlink_to(folder.path)
    assert folder_of(link) == folder
    other = tmp_path / "test.yml"
    other.write_text("name: other")
    with pytest.raises(ExperimentError, match=r"test.experiment is of .*/test.yaml, not of .*/test.yml; rename one"):
        folder_of(other)
    assert folder_of(tmp_path / "elsewhere").path == tmp_path / "elsewhere"
    (tmp_path / "test.yaml").unlink()  # it has got another name
    assert folder_of(other) == folder


def test_an_experiment_is_opened_as_it_was_saved(written: Callable[..., Experiment]) -> None:
    experiment = written(CHAIN)
    assert opened(experiment.folder) == experiment


def test_a_folder_that_has_lost_a_task_says_so(written: Callable[..., Experiment]) -> None:
    experiment = written(CHAIN)
    (experiment.folder.task_path(experiment.tasks["b"]) / "task.json").unlink()
    with pytest.raises(ExperimentError, match=r"lacks b; `qrpo-experiment submit .*` mends it"):
        opened(experiment.folder)
    with pytest.raises(ExperimentError, match="is no experiment's folder"):
        opened(ExperimentFolder(experiment.folder.path / "nothing"))


def test_what_sbatch_has_refused_may_be_changed_and_what_it_may_have_taken_may_not(
    written: Callable[..., Experiment],
) -> None:
    before = written("  a: {command: here}")
    (task,) = before.tasks.values()
    before.folder.attempt(task, 1).path.mkdir()
    changed = written("  a: {command: there}")
    entries = {0: Entry(task.id, 1)}
    SubmissionRecord(uuid="0" * 32, stage="a", is_array=False, entries=entries).save(changed.folder)
    with pytest.raises(ChangedError):
        written("  a: {command: elsewhere}")


@pytest.mark.parametrize("name", ["manifest.json", "tasks/a/task.json"])
def test_a_damaged_file_is_named_on_one_line_with_what_to_do(written: Callable[..., Experiment], name: str) -> None:
    folder = written(CHAIN).folder
    (folder.path / name).write_text('{"x')
    with pytest.raises(ExperimentError, match=rf"^.*{name} is damaged; .*submit.*$") as found:
        opened(folder)
    assert "\n" not in str(found.value)
