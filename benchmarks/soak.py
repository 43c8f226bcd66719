"""Whether the sandbox is the same after a hundred thousand runs: as fast, as large, and nothing left behind.

    python benchmarks/soak.py [--runs 100000] [--workers N]

Programs of every kind are run and judged without a pause, in the same order in each thousand, with every verdict
checked: trivial ones, failing ones, some that reach a limit, some that leave daemons, threads and files.
`slower`: the time of the last thousand over that of the first (after one to warm up). `slower_than_bare`: the same,
each divided by what a bare fork takes just then (see bare_fork.py); a sandbox that has become slower shows in both, a
machine that has become slower, or was busy for a moment, in one. `before` and `after` are counted when nothing runs:
processes of the slots, mounts and open descriptors of this process and the slots' (as far as this user may see them;
without those of working folders that wait to be unmounted, `folders`, which are at most 66 a slot),
files that programs left in the host's /tmp, /dev/shm or /var/tmp, and memory (PSS). Prints one JSON object last; exits
with 1 where a verdict is wrong, anything is left, memory has grown by a quarter, or both ratios exceed 1.2.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import threading
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from baselines import Bare
from rich.progress import Progress
from submissions import KNOWN

from sandbox import Limits, Sandbox, Verdict
from sandbox.checkup.family import Process, Role, family, launchers
from sandbox.worker.cage import WORKING_FOLDER

ROUND = 1000
MOST_FOLDERS = 66
"""Of a slot; see sandbox/worker/folder.py."""
SLOWEST, GROWTH = 1.2, 1.25
MARK = f"soak-{secrets.token_hex(4)}"
"""In the name of each file that a program writes."""
FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # where nothing must be left
_SHORT = Limits(cpu_s=0.05, idle_s=0.05)

_FILES = f"""
import pathlib, tempfile
for folder in ("/tmp", "/dev/shm", tempfile.gettempdir()):
    for number in range(20):
        pathlib.Path(folder, "{MARK}-%d" % number).write_text("x" * 10000)
"""
_THREADS = """
import threading
threads = [threading.Thread(target=lambda: sum(range(1000))) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
threading.Thread(target=lambda: __import__("time").sleep(100), daemon=True).start()
"""
_DAEMONS = """
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
        time.sleep(100)
"""
# Of a hundred: scripts, how often each, its verdict and its limits. The rest is judged.
_SCRIPTS = (
    (50, "print(sum(range(10)))", Verdict.AC, None),
    (8, "raise ValueError", Verdict.RE, None),
    (4, "print(", Verdict.CE, None),
    (1, "while True: pass", Verdict.TLE, _SHORT),
    (1, "import time\ntime.sleep(100)", Verdict.TLE, _SHORT),
    (6, _FILES, Verdict.AC, None),
    (5, _THREADS, Verdict.AC, None),
    (5, _DAEMONS, Verdict.AC, None),
)
SCRIPTS = [script[1:] for script in _SCRIPTS for _ in range(script[0])]
JUDGED = [known for known in KNOWN if known.verdict is not Verdict.TLE]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is there when nothing runs."""

    processes: int
    mounts: int
    folders: int
    """Working folders of runs that the slots have not unmounted yet: a bounded number, whatever came before."""
    descriptors: int
    files: int
    memory_mb: float


class Soak:
    """The programs, by number: the same for each thousand."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self.wrong = 0

    def round_s(self) -> float:
        """Seconds of a thousand programs, from as many threads as there are slots."""
        numbers = count()
        threads = [threading.Thread(target=self._run, args=(numbers,)) for _ in range(self._box.workers)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    def _run(self, numbers: count[int]) -> None:
        for number in numbers:
            if number >= ROUND:
                return
            self._one(number)

    def _one(self, number: int) -> None:
        place = number * 37 % 100  # prime to a hundred: each comes in turn, and its like not one after the other
        if place < len(SCRIPTS):
            code, verdict, limits = SCRIPTS[place]
            found = self._box.run(code, limits=limits)
            name, got, message = code, found.verdict, found.message
        else:
            known = JUDGED[number % len(JUDGED)]
            judged = self._box.judge(known.problem, known.code)
            name, verdict, got, message = known.problem.id, known.verdict, judged.verdict, judged.message
        if got is not verdict:
            self.wrong += 1
            print(f"{name!r} is {got} ({message}), not {verdict}", file=sys.stderr)


def state() -> State:
    """What is there now; nothing must be running."""
    processes = [process for launcher in launchers(os.getpid()) for process in family(launcher)]
    ours = Process(os.getpid(), 0, Role.LAUNCHER)
    pids = ["self", *(str(process.pid) for process in processes)]
    return State(
        processes=len(processes),
        mounts=sum(point != WORKING_FOLDER for pid in pids for point in _mounts(pid)),
        folders=sum(point == WORKING_FOLDER for pid in pids for point in _mounts(pid)),
        descriptors=sum(path != WORKING_FOLDER for pid in pids for path in _open_paths(pid)),
        files=sum(path.name.startswith(MARK) for folder in FOLDERS for path in Path(folder).iterdir()),
        memory_mb=round(sum(process.memory_bytes() for process in (ours, *processes)) / 1e6, 1),
    )


def _mounts(pid: str) -> list[str]:
    """Mount points, as the process sees them."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return []  # another user's
    return [line.split()[4] for line in lines]


def _open_paths(pid: str) -> list[str]:
    found = []
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.append(str(descriptor.readlink()))
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return []  # another user's
    return found


def bare_s(bare: Bare) -> float:
    """Seconds of a bare fork, median of several rounds."""
    return statistics.median(bare.round_s() for _ in range(9))


def main() -> int:
    """Run, count, print, and say whether all is as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000, help="programs, in thousands (default 100000)")
    parser.add_argument("--workers", type=int, help="slots (default: one for each core)")
    options = parser.parse_args()
    rounds = max(2, options.runs // ROUND)
    bare = Bare(50)
    started = time.monotonic()
    with Sandbox(workers=options.workers) as box, Progress() as progress:
        soak = Soak(box)
        task = progress.add_task("thousands", total=rounds + 1)
        soak.round_s()
        progress.advance(task)
        before = state()
        at_first_s = bare_s(bare)
        times = []
        for _ in range(rounds):
            times.append(soak.round_s())
            progress.advance(task)
        at_last_s = bare_s(bare)
        after = state()
    bare.close()
    left = {name: value for name, value in asdict(state()).items() if name in ("processes", "files") and value}
    slower = times[-1] / times[0]
    slower_than_bare = slower * at_first_s / at_last_s
    report = {
        "runs": (rounds + 1) * ROUND,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "first_runs_per_s": round(ROUND / times[0]),
        "last_runs_per_s": round(ROUND / times[-1]),
        "slower": round(slower, 2),
        "slower_than_bare": round(slower_than_bare, 2),
        "wrong": soak.wrong,
        "before": asdict(before),
        "after": asdict(after),
        "left_when_closed": left,
    }
    print(json.dumps(report))
    grown = [
        name for name in ("processes", "mounts", "descriptors", "files") if getattr(after, name) > getattr(before, name)
    ]
    is_larger = after.memory_mb > GROWTH * before.memory_mb or after.folders > MOST_FOLDERS * box.workers
    return 1 if soak.wrong or left or grown or is_larger or min(slower, slower_than_bare) > SLOWEST else 0


if __name__ == "__main__":
    sys.exit(main())
