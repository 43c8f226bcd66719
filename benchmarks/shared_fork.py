"""The cost to compare judging with: fork a warm interpreter, load the completion, run its tests in the same process.

    python -S benchmarks/shared_fork.py MODULES

As the harnesses of public code benchmarks do it, nothing protects the tests or the verdict. For each line on stdin, an
object {id, prelude, tests, entry_point, solution}, prints the seconds from the fork to the verdict. A problem's
tests are compiled when it first comes, in this process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from types import CodeType


def judge(job: dict[str, str], tests: CodeType, null: int) -> bool:
    """Whether the completion passes `check`, in a fork of this interpreter.

    Args:
        null: a descriptor of /dev/null, for what it prints.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        gc.enable()  # as every program has it
        os.dup2(null, 1)  # where this process answers
        passed = False
        try:
            names: dict[str, object] = {}
            exec(job["prelude"] + "\n" + job["solution"], names)  # noqa: S102  # what is measured
            candidate = eval(job["entry_point"], names)  # noqa: S307  # what is measured
            exec(tests, names)  # noqa: S102  # what is measured
            names["check"](candidate)  # type: ignore[operator]
            passed = True
        finally:
            os.write(write_end, b"%d" % passed)
            os._exit(0)
    os.close(write_end)
    verdict = os.read(read_end, 1)
    os.close(read_end)
    os.waitpid(pid, 0)
    return verdict == b"1"


def main() -> None:
    """Serve until stdin ends."""
    for name in sys.argv[1].split(","):
        importlib.import_module(name)
    compiled: dict[str, CodeType] = {}
    null = os.open(os.devnull, os.O_WRONLY)
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        job = json.loads(line)
        if job["id"] not in compiled:
            compiled[job["id"]] = compile(job["tests"], "tests", "exec")
        started = time.perf_counter()
        passed = judge(job, compiled[job["id"]], null)
        seconds = time.perf_counter() - started
        print(seconds if passed else -1.0, flush=True)


if __name__ == "__main__":
    main()
