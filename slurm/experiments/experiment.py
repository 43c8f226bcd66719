"""An experiment as its file and its folder say it, and how its tasks are submitted."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Container, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm.errors import ChangedError, DescriptionError, ExperimentError
from slurm.experiments.description_file import load
from slurm.experiments.events import Submitted, append
from slurm.experiments.executor import Executor, Submission
from slurm.experiments.expansion import tasks_of
from slurm.experiments.folder import Attempt, ExperimentFolder, write_atomically
from slurm.experiments.inputs import with_content
from slurm.experiments.manifest import Manifest, manifest_path, read_manifest, write_manifest
from slurm.experiments.plan import LIVE, Plan
from slurm.experiments.selection import shortened
from slurm.experiments.state import State
from slurm.experiments.submission_record import submissions_in
from slurm.experiments.task import Task

SUFFIX = ".experiment"
"""grid.yaml has its folder in grid.experiment, beside it."""
_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Its tasks, those of today's description and others."""

    folder: ExperimentFolder
    manifest: Manifest
    text: str
    """The description."""
    tasks: Mapping[str, Task]
    """By id; those that others wait for first."""
    left: Mapping[str, Task]
    """Were submitted, and are not in the description any more: they are shown, and never run."""

    @property
    def all_tasks(self) -> list[Task]:
        """First today's."""
        return [*self.tasks.values(), *self.left.values()]


def described(file: Path, changes: Sequence[str], folder: ExperimentFolder) -> Experiment:
    """As the file says it.

    Raises:
        DescriptionError: see `load` and `tasks_of`.
        ChangedError: a task that was submitted does something else now.
    """
    description = load(file, changes)
    try:
        tasks = with_content(tasks_of(description, file.resolve().parent))
    except DescriptionError as error:
        raise DescriptionError(f"{file}: {error}") from None
    saved = folder.tasks()
    _refuse_changes(tasks, saved, folder)
    manifest = Manifest(
        name=description.name,
        file=str(file.resolve()),
        changes=tuple(changes),
        limits=description.limits,
        disk={name: stage.disk for name, stage in description.stages.items() if stage.disk is not None},
        tasks=tuple(task.id for task in tasks),
    )
    text = file.read_text(encoding="utf-8")
    return _experiment(folder, manifest, text, {task.id: task for task in tasks}, saved)


def opened(folder: ExperimentFolder) -> Experiment:
    """As it was last submitted.

    Raises:
        ExperimentError: the folder is no experiment's, or cannot be read.
    """
    manifest = read_manifest(folder)
    saved = folder.tasks()
    lost = [name for name in manifest.tasks if name not in saved]
    if lost:
        raise ExperimentError(
            f"{folder.path} lacks {shortened(lost)}; `qrpo-experiment submit {manifest.file}` mends it"
        )
    text = folder.description.read_text(encoding="utf-8") if folder.description.exists() else ""
    return _experiment(folder, manifest, text, {name: saved[name] for name in manifest.tasks}, saved)


def folder_of(place: Path | None) -> ExperimentFolder:
    """The experiment that somebody means.

    Args:
        place: its folder, or its file; None: the only one here.

    Raises:
        ExperimentError: there is none, or several; or the folder is that of another file.
    """
    if place is not None and place.is_file():
        folder = _beside(place)
        _refuse_namesake(place, folder)
        return folder
    if place is not None:
        return ExperimentFolder(Path(os.path.realpath(place)))
    here = Path.cwd()
    found = [
        path for path in (here, *sorted(here.glob(f"*{SUFFIX}"))) if manifest_path(ExperimentFolder(path)).exists()
    ]
    if len(found) != 1:
        names = shortened([path.name for path in found]) or "none"
        raise ExperimentError(f"which experiment? Name its folder or its file; in {here} there is {names}")
    return ExperimentFolder(found[0])


def save(experiment: Experiment) -> None:
    """Writes what the other commands read."""
    folder = experiment.folder
    saved = folder.tasks()
    folder.logs.mkdir(parents=True, exist_ok=True)
    folder.submissions.mkdir(exist_ok=True)
    for task in experiment.tasks.values():
        if saved.get(task.id) != task:
            folder.save(task)
    write_atomically(folder.description, experiment.text)
    write_manifest(folder, experiment.manifest)


def write_down(experiment: Experiment, submission: Submission) -> None:
    """That a task has a job, in its last attempt."""
    attempt = experiment.folder.attempts({**experiment.left, **experiment.tasks}[submission.task_id])[-1]
    append(attempt.events_path, Submitted(time=time.time(), job=submission.job, log=str(submission.log)))


def give(
    experiment: Experiment, planned: Plan, states: Mapping[str, State], executor: Executor
) -> Generator[Submission]:
    """Submits what is planned, and writes down each task's job as soon as it has one.

    An empty attempt says that a task is to be submitted. After an error there is none of this call: what had failed
    before still has.
    """
    attempts = attempts_for(experiment, planned.todo)
    later = attempts_for(experiment, planned.held)
    begun = attempts | {name: attempt for name, attempt in later.items() if attempt.number > 1}
    made = {name: attempt for name, attempt in begun.items() if not attempt.path.exists()}
    for attempt in made.values():
        attempt.path.mkdir(parents=True)
    numbers = {name: attempt.number for name, attempt in attempts.items()}
    jobs = jobs_in_queue(experiment, states, numbers)
    submissions = executor.submit(planned.todo, numbers, jobs)
    try:
        for submission in submissions:
            write_down(experiment, submission)
            yield submission
    except Exception:
        _withdraw(experiment.folder, made)
        raise
    finally:
        if isinstance(submissions, Generator):  # it ends what it has started, and not some time later
            submissions.close()


def attempts_for(experiment: Experiment, todo: Sequence[Task]) -> dict[str, Attempt]:
    """Those that a submission would make, by the task's id."""
    return {task.id: _next_attempt(experiment.folder, task) for task in todo}


def jobs_in_queue(experiment: Experiment, states: Mapping[str, State], less: Container[str]) -> dict[str, str]:
    """The job of each task that waits or runs, by the task's id; less those that are submitted anew."""
    return {name: states[name].job for name in experiment.tasks if states[name].kind in LIVE and name not in less}


def _beside(file: Path) -> ExperimentFolder:
    return ExperimentFolder(Path(os.path.realpath(file.with_suffix(SUFFIX))))


def _refuse_namesake(file: Path, folder: ExperimentFolder) -> None:
    """grid.yaml and grid.yml would share a folder."""
    try:
        other = Path(read_manifest(folder).file)
    except ExperimentError:  # there is none, or who reads it says what is wrong
        return
    if other.is_file() and not other.samefile(file) and _beside(other) == folder:
        raise ExperimentError(
            f"{folder.path} is of {other}, not of {file}; rename one, or name another folder by --dir"
        )


def _experiment(
    folder: ExperimentFolder, manifest: Manifest, text: str, tasks: Mapping[str, Task], saved: Mapping[str, Task]
) -> Experiment:
    # What was never given to anybody has left nothing behind.
    left = {name: task for name, task in saved.items() if name not in tasks and folder.attempts(task)}
    return Experiment(folder=folder, manifest=manifest, text=text, tasks=tasks, left=left)


def _next_attempt(folder: ExperimentFolder, task: Task) -> Attempt:
    """A new one; or the last, where nobody knows of a job for it. Should there be one, the claim lets only one run."""
    attempts = folder.attempts(task)
    if attempts and not attempts[-1].events() and not attempts[-1].claim.exists():
        return attempts[-1]
    return folder.attempt(task, attempts[-1].number + 1 if attempts else 1)


def _refuse_changes(tasks: Sequence[Task], saved: Mapping[str, Task], folder: ExperimentFolder) -> None:
    changed = [
        task
        for task in tasks
        if task.id in saved and task.fingerprint != saved[task.id].fingerprint and folder.attempts(task)
    ]
    if changed:  # some may have been refused by sbatch, and are to be mended
        recorded = {entry.task_id for record in submissions_in(folder) for entry in record.entries.values()}
        changed = [task for task in changed if task.id in recorded or _has_traces(folder, task)]
    if not changed:
        return
    first = changed[0]
    stages = ", ".join(dict.fromkeys(task.stage for task in changed))
    lines = "\n  ".join(_difference(first, saved[first.id]))
    raise ChangedError(
        f"{first.id} does something else now than when it was submitted"
        f"{f', as do {len(changed) - 1} more' if len(changed) > 1 else ''}:\n  {lines}\n"
        f"give the stage ({stages}) a higher `version`, which runs it anew; or name another folder by --dir"
    )


def _withdraw(folder: ExperimentFolder, attempts: Mapping[str, Attempt]) -> None:
    """Less those that may have a job, as sbatch has not answered: `settle` sees to them."""
    open_ = {tuple(entry) for record in submissions_in(folder) for entry in record.entries.values()}
    for name, attempt in attempts.items():
        if (name, attempt.number) not in open_:
            attempt.withdraw()


def _has_traces(folder: ExperimentFolder, task: Task) -> bool:
    return any(attempt.claim.exists() or attempt.events() for attempt in folder.attempts(task))


def _difference(task: Task, then: Task) -> list[str]:
    lines = []
    for line in task.differences(then):
        if line.startswith("script: "):
            parts = difflib.unified_diff(then.script.splitlines(), task.script.splitlines(), n=0, lineterm="")
            lines += [f"script: {part}" for part in list(parts)[2:] if not part.startswith("@@")]
        else:
            lines.append(line)
    more = len(lines) - _SHOWN_LINES
    return lines[:_SHOWN_LINES] + ([f"... and {more} more lines"] if more > 0 else [])
