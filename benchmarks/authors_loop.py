"""How the server of the paper's authors judges one completion: a cold interpreter, and in it a process for each assert.

    python benchmarks/authors_loop.py < JOB

JOB is an object {prelude, asserts, entry_point, solution}. Each assert has a forked process that limits itself,
executes the whole completion again, then the assert, and says True on a queue; it is waited for for one second. Prints
how many passed. Written anew after what their code does; their server pays a job step and a container on top.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
from multiprocessing.queues import SimpleQueue

MEMORY_BYTES = 1 << 30
CPU_S = 1
WALL_S = 1.0


def run_assert(job: dict[str, str], statement: str, answers: SimpleQueue[bool]) -> None:
    """In the process of one assert."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    names: dict[str, object] = {}
    exec(job["prelude"] + "\n" + job["solution"], names)  # noqa: S102  # what is measured
    names["candidate"] = eval(job["entry_point"], names)  # noqa: S307  # what is measured
    exec(statement, names)  # noqa: S102  # what is measured
    answers.put(True)


def main() -> None:
    """Judge the completion on stdin."""
    job = json.load(sys.stdin)
    fork = multiprocessing.get_context("fork")
    passed = 0
    for statement in job["asserts"]:
        answers: SimpleQueue[bool] = fork.SimpleQueue()
        process = fork.Process(target=run_assert, args=(job, statement, answers))
        process.start()
        process.join(WALL_S)
        if process.is_alive():
            process.kill()
            process.join()
        elif process.exitcode == 0:
            passed += answers.get()
        answers.close()
    print(passed)


if __name__ == "__main__":
    main()
