"""What can go wrong here.

FleetError
├── SlurmError         a command of Slurm's said no, or nothing
└── NotReadyError      not all servers of a fleet take work
ExperimentError
├── DescriptionError   an experiment's file says what cannot be done
└── ChangedError       what was submitted before does something else now
"""

from __future__ import annotations


class FleetError(Exception):
    """The message says what is wrong and what to do about it."""


class SlurmError(FleetError):
    """Slurm's own words, on one line."""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        """Whether the same command may well be answered in a moment: the controller is busy, or starts again."""


class NotReadyError(FleetError):
    """A job has ended, or waits for longer than somebody wished to."""


class ExperimentError(Exception):
    """The message says what is wrong and what to do about it."""


class DescriptionError(ExperimentError):
    """Begins with the file, and the place in it."""


class ChangedError(ExperimentError):
    """Names the first of the jobs, and what differs."""
