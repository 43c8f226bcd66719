"""The cost to compare with: fork a warm interpreter, run a program, collect its output, wait.

    python -S benchmarks/bare_fork.py MODULES PROGRAM RUNS

For each line on stdin, RUNS runs; prints the mean seconds of one.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time


def bare_run(program: str) -> bytes:
    """What the program printed, run in a fork of this interpreter."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        gc.enable()  # as every program has it
        os.dup2(write_end, 1)
        exec(compile(program, "main.py", "exec"), {"__name__": "__main__"})  # noqa: S102  # what is measured
        sys.stdout.flush()
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        output = file.read()
    _, status = os.waitpid(pid, 0)
    if status != 0 or not output:
        raise RuntimeError(f"the bare run ended with status {status} and printed {output!r}")
    return output


def main() -> None:
    """Serve rounds until stdin ends."""
    modules, program, runs = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3])
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.disable()
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in range(runs):
            bare_run(program)
        print((time.perf_counter() - started) / runs, flush=True)


if __name__ == "__main__":
    main()
