"""Runs commands: Slurm's, patiently, and our own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from slurm.errors import FleetError, SlurmError

Result = TypeVar("Result")
_TIMEOUT_S = 60.0
"""Slurm's commands give up by themselves after 10 s or a few times that."""
_DEFAULTS = ("SQUEUE_", "SCANCEL_")
"""Of variables with a user's defaults: one partition to be listed, say, or to be asked before a job is cancelled."""
_PAUSES_S = (1.0, 2.0, 4.0)
_PASSING = (
    "Socket timed out",
    "Unable to contact",
    "Resource temporarily unavailable",
    "Connection refused",
    "timed out",
)
"""In what Slurm says when its controller is busy, or away for a moment."""


def call_slurm(*command: str, is_patient: bool = True) -> str:
    """What it prints.

    Args:
        is_patient: where the controller does not answer it is called again, with pauses.

    Raises:
        SlurmError: it is not there, or fails.
    """
    return patiently(lambda: _called(command)) if is_patient else _called(command)


def patiently(call: Callable[[], Result]) -> Result:
    """The result of a call, which is made again after a pause where a SlurmError says that this may help."""
    for pause_s in _PAUSES_S:
        try:
            return call()
        except SlurmError as error:
            if not error.is_passing:
                raise
        time.sleep(pause_s)
    return call()


def refused(name: str, words: str) -> SlurmError:
    """The error for a command that has failed with these words."""
    line = " ".join(part for part in (line.removeprefix(f"{name}: ").strip() for line in words.splitlines()) if part)
    line = line.removeprefix("error: ").replace("error: ", "")
    return SlurmError(
        f"{name}: {line or 'it failed and did not say why'}", is_passing=any(w in words for w in _PASSING)
    )


def missing(name: str) -> SlurmError:
    """The error for a command that is not there."""
    return SlurmError(
        f"{name} is not installed here: run this where jobs are submitted, on a login node of the cluster"
    )


def own_command() -> str:
    """Path of `qrpo-sandbox` in the environment that this runs in.

    Raises:
        FleetError: there is none.
    """
    path = Path(sys.executable).with_name("qrpo-sandbox")
    if not path.exists():
        raise FleetError(f"{path} is not there: install the package into the environment that this runs in")
    return str(path)


def _called(command: Sequence[str]) -> str:
    name = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(_DEFAULTS)},
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise missing(name) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{name} did not answer within {_TIMEOUT_S:g} s: is the controller up? (scontrol ping)"
        ) from None
    if done.returncode:
        raise refused(name, done.stderr)
    return done.stdout
