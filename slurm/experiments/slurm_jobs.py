"""Tasks as Slurm jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from slurm.experiments.description import Limits
from slurm.experiments.executor import Submission
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.task import Task


@dataclass(frozen=True, slots=True)
class SlurmJobs:
    """Submits tasks to Slurm: an array for all that differ in nothing Slurm knows of.

    Args:
        folder: the experiment's; locked by the caller.
        limits: of the experiment.
        queued: jobs of the experiment in the queue before.
    """

    folder: ExperimentFolder
    limits: Limits
    queued: int = 0

    def submit(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[Submission]:
        """See `Executor`. What the limits or Slurm hold back is not submitted: `status` says why.

        Raises:
            SlurmError: sbatch is not there, or says no.
        """
        raise NotImplementedError

    def scripts(
        self, tasks: Sequence[Task], attempts: Mapping[str, int], jobs: Mapping[str, str]
    ) -> Iterator[tuple[Sequence[Task], str]]:
        """For `--dry-run`: what sbatch would be given, and for which tasks. Needs no Slurm."""
        raise NotImplementedError

    def recovered(self) -> Iterator[Submission]:
        """Jobs that were submitted, but of which a crash has kept the event from being written."""
        raise NotImplementedError
