"""What this machine has for tasks, and what is left of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slurm.errors import ExperimentError
from slurm.experiments.task import Task

_LIST_S = 30.0


class Share(NamedTuple):
    """Of one task."""

    cores: int
    gpus: tuple[str, ...]

    def environment(self) -> Mapping[str, str]:
        """For its job: no other GPUs are seen."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}


class Machine:
    """Counts; it holds nobody to what he has asked for.

    Args:
        jobs: at a time; None: as many as there is room for.
        cores: None: those that this process may use.
        gpus: as CUDA names them; None: those that this process sees.
    """

    def __init__(self, jobs: int | None = None, cores: int | None = None, gpus: Sequence[str] | None = None) -> None:
        self.cores = len(os.sched_getaffinity(0)) if cores is None else cores
        self.gpus = tuple(_visible_gpus() if gpus is None else gpus)
        self._jobs = self.cores if jobs is None else jobs
        self._free_cores = self.cores
        self._free_gpus = list(self.gpus)

    def check(self, tasks: Sequence[Task]) -> None:
        """All can run here, one at a time. One that asks for more cores than there are then has them all.

        Raises:
            ExperimentError: one cannot.
        """
        for task in tasks:
            asked = task.resources.gpus_per_node or 0
            if asked > len(self.gpus):
                raise ExperimentError(
                    f"{task.id} asks for {asked} GPUs, and this machine shows {len(self.gpus)}: lower gpus_per_node"
                )

    def take(self, task: Task) -> Share | None:
        """A share that is then in use; None: there is no room now."""
        cores = min(task.resources.cpus_per_task or 1, self.cores)
        gpus = tuple(self._free_gpus[: task.resources.gpus_per_node or 0])
        if not self._jobs or cores > self._free_cores or len(gpus) < (task.resources.gpus_per_node or 0):
            return None
        self._jobs -= 1
        self._free_cores -= cores
        self._free_gpus = self._free_gpus[len(gpus) :]
        return Share(cores, gpus)

    def give_back(self, share: Share) -> None:
        """It is in use no more."""
        self._jobs += 1
        self._free_cores += share.cores
        self._free_gpus += share.gpus


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name not in {"", "-1", "NoDevFiles"}]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=_LIST_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]
