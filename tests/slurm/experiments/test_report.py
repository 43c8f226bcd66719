"""What a report says of attempts that others have followed."""

from collections.abc import Callable
from pathlib import Path

from slurm.experiments.events import Ended, Started, Submitted, append
from slurm.experiments.experiment import Experiment
from slurm.experiments.report import report_of
from slurm.experiments.standing import look

TRACEBACK = """\
Traceback (most recent call last):
  File "<string>", line 1, in <module>
ValueError: no such luck
"""


def attempt(experiment: Experiment, name: str, number: int, *events: Started | Ended) -> Path:
    """Writes one; gives the path of its log."""
    found = experiment.folder.attempt(experiment.tasks[name], number)
    found.path.mkdir(parents=True)
    log = experiment.folder.logs / f"local-{name}-{number}.log"
    for event in (Submitted(time=1, job=log.stem, log=str(log)), *events):
        append(found.events_path, event)
    return log


def test_an_earlier_attempt_has_the_cause_that_it_had_then(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c}\n  b: {command: c, after: [a]}")
    started, ended = Started(time=2, job="", host="h", pid=1), Ended(time=3, code=0)
    attempt(experiment, "a", 1, started, Ended(time=3, code=1)).write_text(TRACEBACK)
    attempt(experiment, "a", 2, started, Ended(time=3, code=0, problem="output x: it is empty"))
    attempt(experiment, "a", 3, started)
    attempt(experiment, "a", 4, started, ended)
    attempt(experiment, "a", 5, started, ended)
    attempt(experiment, "b", 1)
    attempt(experiment, "b", 2, started, ended)
    earlier = report_of(look(experiment), 4).earlier
    assert [(item.task_id, item.attempt, item.job, item.why) for item in earlier] == [
        ("a", 1, "local-a-1", "Python error: ValueError: no such luck"),
        ("a", 2, "local-a-2", "missing or invalid output: output x: it is empty"),
        ("a", 3, "local-a-3", "lost: nothing tells how it has ended"),
        ("b", 1, "local-b-1", "it never started: what it needed had failed, or it was cancelled"),
    ]
