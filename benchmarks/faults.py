"""Right verdicts while the sandbox's own processes are killed and stopped at random.

    python benchmarks/faults.py [--kills 1000] [--minutes M] [--workers N] [--seed 0]

Two endless streams of submissions with known verdicts keep every slot busy. Meanwhile volleys of SIGKILL and SIGSTOP,
each signal at another slot, hit its first process, its broker, a judge or its zygote; the next volley follows when all
that was being judged is answered. The program's own processes are no targets: their end by SIGKILL is one that the
program could have caused, and is judged RE.

`lost`: submissions without an answer, an exception included. `doubled`: answered twice. `wrong`: with another
verdict than they have. `slots_lost`: of the slots, those that no longer answer at the end. `left`: processes of slots
that were hit and live on. `recovery_s`: from a volley until all that was being judged is answered, with what was left
to be done of it anyway; by whether a process was stopped. Prints one JSON object last; exits with 1 unless the first
five are 0 and all was recovered from in time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

from rich.progress import Progress
from submissions import KNOWN, Known

from sandbox import Limits, Sandbox, SandboxError, Verdict
from sandbox.checkup.family import Process, Role, family, launchers
from sandbox.pool import Submission

TARGETS = (Role.LAUNCHER, Role.BROKER, Role.JUDGE, Role.ZYGOTE)
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
STREAMS = 2
PATIENCE_S = 60.0
"""A submission that takes longer is lost; none takes 2 s by itself."""
SLEEP_S = 3.0
"""Of the programs that ask, all at once, whether each slot answers."""


class Stream:
    """Submissions that are judged in one batch without an end, and what is to be said of their answers."""

    def __init__(self, box: Sandbox, seed: str) -> None:
        self._box = box
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._known: list[Known] = []
        self._answers: list[int] = []
        self._sent: dict[tuple[int, int], float] = {}
        self._batch = 0
        self.submissions = self.lost = self.doubled = self.wrong = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pending(self) -> list[tuple[float, Place]]:
        """What has no answer yet, with the time when it was sent."""
        return [(sent, (self, *place)) for place, sent in list(self._sent.items())]

    def is_pending(self, batch: int, index: int) -> bool:
        """Whether it has no answer yet."""
        return (batch, index) in self._sent

    def stop(self) -> None:
        """Send no more."""
        self._is_over.set()

    def finish(self, timeout_s: float) -> None:
        """Wait for the answers; those that do not come are lost."""
        self._thread.join(timeout_s)
        self._count_lost()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self._known, self._answers = [], []
            self._batch += 1
            try:
                for index, result in self._box.judge_as_completed(self._submissions()):
                    self._sent.pop((self._batch, index), None)
                    self._check(index, result.verdict, result.message)
            except SandboxError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                self._count_lost()

    def _submissions(self) -> Iterator[Submission]:
        while not self._is_over.is_set():
            known = self._random.choice(KNOWN)
            self._sent[self._batch, len(self._known)] = time.monotonic()
            self._known.append(known)
            self._answers.append(0)
            self.submissions += 1
            yield known.problem, known.code

    def _count_lost(self) -> None:
        self.lost += len(self._sent)
        self._sent.clear()

    def _check(self, index: int, verdict: Verdict, message: str) -> None:
        known = self._known[index]
        self._answers[index] += 1
        self.doubled += self._answers[index] > 1
        if verdict is not known.verdict:
            self.wrong += 1
            print(f"{known.problem.id}: {verdict} ({message}), not {known.verdict}", file=sys.stderr)


Place = tuple[Stream, int, int]
"""A submission: its stream, the batch of the stream, and its index in that."""


class Volley:
    """Signals sent at once, each at another slot of this process."""

    def __init__(self, chance: random.Random, most: int) -> None:
        self.hits: list[tuple[Role, signal.Signals]] = []
        self.families: list[Process] = []
        slots = launchers(os.getpid())
        chance.shuffle(slots)
        size = min(most, chance.choice((1, 1, 1, 2, 3)))
        for launcher in slots[:size]:
            role, number = chance.choice(TARGETS), chance.choice(SIGNALS)
            processes = family(launcher)
            target = next((process for process in processes if process.role is role), None)
            if target is not None and target.send(number):
                self.hits.append((role, number))
                self.families += processes

    @property
    def is_stopping(self) -> bool:
        """Whether a process was stopped."""
        return any(number is signal.SIGSTOP for _, number in self.hits)


def in_slots(streams: list[Stream], slots: int) -> list[Place]:
    """What is being judged: the queue is first in, first out, so it is the oldest of all that has no answer."""
    waiting = sorted((entry for stream in streams for entry in stream.pending()), key=lambda entry: entry[0])
    return [place for _, place in waiting[:slots]]


def wait_for_answers(places: list[Place]) -> bool:
    """Until all have been answered; False where that takes too long."""
    end = time.monotonic() + PATIENCE_S
    while any(stream.is_pending(batch, index) for stream, batch, index in places):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def count_slots(box: Sandbox) -> int:
    """Slots that answer: one program for each, asleep for so long that no slot could answer two in time."""
    answers: list[float] = []
    code = f"import time\ntime.sleep({SLEEP_S})"
    limits = Limits(idle_s=10 * SLEEP_S)

    def ask() -> None:
        try:
            box.run(code, limits=limits)
        except SandboxError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        else:
            answers.append(time.monotonic())

    started = time.monotonic()
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(box.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, started + 1.8 * SLEEP_S - time.monotonic()))
    return len(answers)


def percentiles(seconds: list[float]) -> dict[str, float] | None:
    """The median and the 99th percentile."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {"p50": round(statistics.median(ordered), 3), "p99": round(ordered[(99 * len(ordered) - 1) // 100], 3)}


def shoot(
    streams: list[Stream], kills: int, end_s: float, chance: random.Random, slots: int
) -> tuple[list[Volley], dict[bool, list[float]]]:
    """Volleys until enough processes were hit, the time is over or one is not recovered from; the times of recovery."""
    volleys: list[Volley] = []
    recoveries: dict[bool, list[float]] = {False: [], True: []}
    with Progress() as progress:
        task = progress.add_task("kills", total=kills)
        left = kills
        while left > 0 and time.monotonic() < end_s:
            time.sleep(chance.uniform(0.0, 0.3))
            hit_at = time.monotonic()
            volley = Volley(chance, min(slots, left))
            judged = in_slots(streams, slots)
            volleys.append(volley)
            left -= len(volley.hits)
            progress.advance(task, len(volley.hits))
            if not wait_for_answers(judged):
                print(f"no recovery within {PATIENCE_S:.0f} s from {volley.hits}", file=sys.stderr)
                break
            if volley.hits:
                recoveries[volley.is_stopping].append(time.monotonic() - hit_at)
    return volleys, recoveries


def main() -> int:
    """Judge, kill, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="processes to hit (default 1000)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after so long, however few were hit")
    parser.add_argument("--workers", type=int, help="slots (default: two for each core)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of targets and submissions (default 0)")
    options = parser.parse_args()
    workers = options.workers or 2 * len(os.sched_getaffinity(0))
    started = time.monotonic()
    end_s = started + 60 * options.minutes
    with Sandbox(workers=workers) as box:
        streams = [Stream(box, f"{options.seed} {number}") for number in range(STREAMS)]
        chance = random.Random(options.seed)
        volleys, recoveries = shoot(streams, options.kills, end_s, chance, workers)
        was_finished = time.monotonic() >= end_s or sum(len(volley.hits) for volley in volleys) >= options.kills
        end = time.monotonic() + PATIENCE_S
        for stream in streams:
            stream.stop()
        for stream in streams:
            stream.finish(max(0.0, end - time.monotonic()))
        slots_lost = workers - count_slots(box)
    hits = [hit for volley in volleys for hit in volley.hits]
    families = [process for volley in volleys for process in volley.families]
    bars = {
        "lost": sum(stream.lost for stream in streams),
        "doubled": sum(stream.doubled for stream in streams),
        "wrong": sum(stream.wrong for stream in streams),
        "slots_lost": slots_lost,
        "left": sum(process.is_alive() for process in families),
    }
    counts = Counter(f"{role} {number.name}" for role, number in hits)
    report = {
        "kills": len(hits),
        **bars,
        "submissions": sum(stream.submissions for stream in streams),
        "targets": dict(sorted(counts.items())),
        "recovery_s": {"killed": percentiles(recoveries[False]), "stopped": percentiles(recoveries[True])},
        "workers": workers,
        "seed": options.seed,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    print(json.dumps(report))
    return 0 if was_finished and not any(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
