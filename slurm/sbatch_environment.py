"""What sbatch finds in its environment, and gives to the job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_OF_THE_USER = frozenset({"SLURM_CLUSTERS", "SLURM_CONF"})
_DECIDED = frozenset(
    f"SBATCH_{name}"
    for name in ("ARRAY_INX", "EXCLUSIVE", "JOB_NAME", "NO_REQUEUE", "OPEN_MODE", "REQUEUE", "SIGNAL", "TIMELIMIT")
)
"""A user's defaults, which sbatch puts above what a script says: jobs would not be known by another name."""


@contextmanager
def own_environment(given: Iterable[str]) -> Iterator[None]:
    """Without anything of a job that this runs in, nor what overrides a script.

    Args:
        given: options that the script gives, of those that are a user's to give: partition, account and so on.
    """
    inside = [name for name in os.environ if name.startswith(("SLURM_", "SLURMD_")) and name not in _OF_THE_USER]
    overriding = _DECIDED | {f"SBATCH_{name.upper()}" for name in given}
    kept = {name: os.environ.pop(name) for name in [*inside, *(overriding & os.environ.keys())]}
    try:
        yield
    finally:
        os.environ.update(kept)
