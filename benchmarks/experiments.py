"""An experiment of a thousand jobs: what it takes of our own time to submit it, and to tell where it stands.

    python benchmarks/experiments.py [--slurm]

Slurm's commands are stand-ins that answer at once. The experiment is of 500 shards, 499 jobs that go pairwise with
these, and one that needs them all. `submit_1000_s` is `qrpo-experiment submit`, from its start to its end;
`status_1000_s` the slower of two of `status`: while all are in the queue, and when all have failed and squeue has
forgotten them, with a log of 300 KB each that is read for the cause. `*_4000_s` are the same with four times as many,
`*_mib` peaks of memory: what a thousand jobs add is `mib_per_1000_jobs`. With --slurm also `slurm_submit_1000_s` and
`slurm_status_1000_s`, in the Slurm that is there: its jobs wait for a day to come, and are cancelled.

Prints one JSON object last. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from slurm.experiments.events import Ended, Started, append
from slurm.experiments.folder import ExperimentFolder

AT_MOST = {"submit_1000_s": 10.0, "status_1000_s": 10.0, "mib_per_1000_jobs": 50.0}
DESCRIPTION = """\
name: thousand
resources: {{time: "10", memory: 10M, cpus_per_task: 1, sbatch: {{begin: now+1day}}}}
stages:
  generate:
    grid: {{shard: {{range: {half}}}}}
    command: "true"
    outputs: ["out/{{{{ shard }}}}.jsonl"]
  score:
    after: [generate]
    grid: {{shard: {{range: {rest}}}}}
    command: "true"
    outputs: ["out/{{{{ shard }}}}.scores"]
  train:
    after: [score, generate]
    command: "true"
    outputs: [out/model]
"""
SBATCH = """\
#!/bin/sh
last=$(($(cat "$STANDIN/last" 2>/dev/null || echo 100) + 1))
echo "$last" | tee "$STANDIN/last"
"""
SCONTROL = "#!/bin/sh\necho 'MaxArraySize            = 10001'\n"
CAT = '#!/bin/sh\ncat "$STANDIN/${0##*/}.out"\n'
LOG = b"".join(b"\r %5d/4000 loss 0.693" % number for number in range(4000)) + b"\n" + b"step done\n" * 20000
TRACEBACK = b'Traceback (most recent call last):\n  File "train.py", line 7, in <module>\nValueError: loss is nan\n'


class Cost(NamedTuple):
    """Of one command."""

    seconds: float
    peak_mib: float
    output: str


class Bench:
    """An experiment, and the commands that it is given.

    Args:
        place: an empty folder.
        jobs: of the experiment.
        is_real: Slurm's own commands are called.
    """

    def __init__(self, place: Path, jobs: int, *, is_real: bool = False) -> None:
        self._place = place
        self._jobs = jobs
        self._file = place / "thousand.yaml"
        half = jobs // 2
        self._file.write_text(DESCRIPTION.format(half=half, rest=jobs - half - 1))
        self.folder = ExperimentFolder(place / "thousand.experiment")
        self._env = dict(os.environ)
        if not is_real:
            commands = place / "bin"
            commands.mkdir()
            for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL), ("squeue", CAT), ("sacct", CAT)):
                (commands / name).write_text(text)
                (commands / name).chmod(0o755)
            self._env |= {"PATH": f"{commands}:/usr/bin:/bin", "STANDIN": str(place)}
        self.answer("squeue", [])
        self.answer("sacct", [])

    def answer(self, name: str, lines: Sequence[str]) -> None:
        """What a stand-in says from now on."""
        (self._place / f"{name}.out").write_text("".join(f"{line}\n" for line in lines))

    def submit(self) -> Cost:
        """All jobs."""
        return self._run("submit", str(self._file))

    def status(self, word: str) -> Cost:
        """Of all jobs, which are to be in this state.

        Raises:
            RuntimeError: they are not.
        """
        cost = self._run("status", str(self._file), "--json")
        kinds = {state["state"] for state in json.loads(cost.output)["tasks"]}
        if kinds != {word}:
            raise RuntimeError(f"the jobs are {kinds}, and not all {word}")
        return cost

    def job_ids(self) -> list[str]:
        """Of all that were submitted."""
        return [
            event.job
            for task in self.folder.tasks().values()
            for event in self.folder.attempt(task, 1).events()
            if event.event == "submitted"
        ]

    def fail(self) -> None:
        """Every job has run, and has printed why it failed."""
        log = self._place / "log"
        log.write_bytes(LOG + TRACEBACK)
        for task in self.folder.tasks().values():
            attempt = self.folder.attempt(task, 1)
            job = attempt.events()[0]
            if job.event == "submitted":
                append(attempt.events_path, Started(time=1.0, job=job.job, host="node1", pid=1))
                append(attempt.events_path, Ended(time=2.0, code=1))
                os.link(log, job.log)

    def _run(self, *arguments: str) -> Cost:
        with tempfile.TemporaryFile("w+") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "slurm.experiments.cli", *arguments], stdout=output, env=self._env
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if process.returncode:
            raise RuntimeError(f"{arguments[0]} exits with {process.returncode}: {text[-2000:]}")
        return Cost(seconds, usage.ru_maxrss / 1024, text)


def main() -> int:
    """Measure, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slurm", action="store_true", help="also in the Slurm that is there")
    options = parser.parse_args()
    report: dict[str, float] = {}
    peaks = {}
    for jobs in (1000, 4000):
        with tempfile.TemporaryDirectory() as place:
            bench = Bench(Path(place), jobs)
            costs = measure(bench)
        report[f"submit_{jobs}_s"] = round(costs[0].seconds, 2)
        report[f"status_{jobs}_s"] = round(max(cost.seconds for cost in costs[1:]), 2)
        peaks[jobs] = max(cost.peak_mib for cost in costs)
        report[f"peak_{jobs}_mib"] = round(peaks[jobs], 1)
    report["mib_per_1000_jobs"] = round((peaks[4000] - peaks[1000]) / 3, 1)
    if options.slurm:
        report |= in_slurm()
    missed = [f"missed: at most {bar}: {name}" for name, bar in AT_MOST.items() if report[name] > bar]
    for line in missed:
        print(line, file=sys.stderr)
    print(json.dumps(report))
    return 1 if missed else 0


def measure(bench: Bench) -> list[Cost]:
    """Of submit, of status while all wait, of status when all have failed."""
    submitted = bench.submit()
    bench.answer("squeue", [f"{job}\tPENDING\t\t0:00\t10:00\tPriority" for job in bench.job_ids()])
    waiting = bench.status("queued")
    bench.fail()
    bench.answer("squeue", [])
    return [submitted, waiting, bench.status("failed")]


def in_slurm() -> dict[str, float]:
    """With the real commands; every job waits until it is cancelled."""
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place), 1000, is_real=True)
        try:
            submitted = bench.submit()
            waiting = bench.status("queued")
        finally:
            bases = sorted({job.partition("_")[0] for job in bench.job_ids()})
            subprocess.run(["scancel", "--quiet", *bases], check=True)
    return {"slurm_submit_1000_s": round(submitted.seconds, 2), "slurm_status_1000_s": round(waiting.seconds, 2)}


if __name__ == "__main__":
    sys.exit(main())
