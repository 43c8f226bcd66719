"""Other ways to run a program or to judge a completion, each to be timed beside ours."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sandbox import Problem
from sandbox.worker.main import PRELOADED

PROGRAM = "print(sum(range(10)))"
"""The trivial program."""
EXPECTED = b"45\n"
PYTHON = os.path.realpath(sys.executable)
"""The base interpreter, without this environment's packages: what the sandbox runs programs under, too."""
_FOLDER = Path(__file__).parent


class _Server:
    """A script of this folder in a warm interpreter of its own, with nothing else loaded: a line in, a number out."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", str(_FOLDER / script), ",".join(PRELOADED), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def _ask(self, line: str) -> float:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(line + "\n")
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Bare(_Server):
    """`bare_fork.py`: a fork that runs the trivial program.

    Args:
        runs: of a round.
    """

    def __init__(self, runs: int) -> None:
        super().__init__("bare_fork.py", PROGRAM, str(runs))

    def round_s(self) -> float:
        """Seconds of one bare run, mean of a round."""
        return self._ask("round")


class SharedFork(_Server):
    """`shared_fork.py`: one fork that holds a completion and its tests together."""

    def __init__(self) -> None:
        super().__init__("shared_fork.py")

    def judge_s(self, problem: Problem, solution: str) -> float:
        """Seconds from the fork to the verdict.

        Raises:
            RuntimeError: the completion does not pass.
        """
        seconds = self._ask(json.dumps({**_plain(problem), "solution": solution}))
        if seconds < 0:
            raise RuntimeError(f"{problem.id} does not pass its tests in one process")
        return seconds


def authors_loop_s(problem: Problem, solution: str) -> float:
    """Seconds that `authors_loop.py` takes for a completion, from the start of its interpreter to its end."""
    job = json.dumps({**_plain(problem), "asserts": asserts(problem), "solution": solution})
    started = time.perf_counter()
    subprocess.run([PYTHON, str(_FOLDER / "authors_loop.py")], input=job, text=True, check=True, capture_output=True)
    return time.perf_counter() - started


def asserts(problem: Problem) -> list[str]:
    """The asserts in the body of `check(candidate)`, as text."""
    tree = ast.parse("\n".join(str(test) for test in problem.tests))
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def bubblewrap() -> list[str] | None:
    """The command that runs the trivial program under `bwrap`; None where that is not installed."""
    options = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--die-with-parent"]
    return ["bwrap", *options, PYTHON, "-I", "-S", "-c", PROGRAM] if shutil.which("bwrap") else None


def apptainer(image: Path | None) -> list[str] | None:
    """The same under `apptainer exec`; None where that is not installed or there is no image.

    Args:
        image: a folder with a root file system that has a `python3`.
    """
    if image is None or not shutil.which("apptainer"):
        return None
    return ["apptainer", "--silent", "exec", "--userns", "--containall", str(image), *_PLAIN]


def podman(image: Path | None) -> list[str] | None:
    """The same under `podman run`; see `apptainer`."""
    if image is None or not shutil.which("podman"):
        return None
    return ["podman", "run", "--rm", "--read-only", "--network=none", "--rootfs", str(image), *_PLAIN]


_PLAIN = ["python3", "-I", "-S", "-c", PROGRAM]


def command_s(command: list[str], runs: int) -> float:
    """Seconds of one run of a command that runs the trivial program, mean of a round.

    Raises:
        RuntimeError: it printed something else.
    """
    started = time.perf_counter()
    for _ in range(runs):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.stdout != EXPECTED:
            raise RuntimeError(f"{command[0]} exited with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return (time.perf_counter() - started) / runs


def _plain(problem: Problem) -> dict[str, str]:
    return {
        "id": problem.id,
        "prelude": problem.prelude,
        "tests": "\n".join(str(test) for test in problem.tests),
        "entry_point": problem.entry_point or "None",
    }
