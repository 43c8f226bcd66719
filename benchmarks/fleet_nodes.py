"""Servers as if each had a node of its own: a process, one slot and one core each; and what a fleet of them uses."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

from cores import ALL, pinned
from leetcode import Completion
from server_process import ServerProcess

from sandbox import SandboxClient, Verdict

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Pass(NamedTuple):
    """All completions judged once."""

    seconds: float
    client_s: float
    """CPU time of this process."""
    servers_s: float
    """CPU time of the servers with all that they started."""


class Fleet:
    """Servers that share a folder of endpoint files, and a client of that folder. Use it as a context manager.

    The servers take the first cores, one each, and begin anew where there are more of them; the client has the last,
    which is its own where there is one more core than servers.

    Args:
        count: servers.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
            cores = sorted(ALL)
            self._pids = []
            for number in range(self.count):
                with pinned(frozenset({cores[number % len(cores)]})):
                    server = self._stack.enter_context(ServerProcess("--workers", "1", folder=folder))
                self._pids.append(server.pid)
            self._client = self._stack.enter_context(SandboxClient(folder))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def meet(self, completions: Sequence[Completion]) -> None:
        """Until nearly every server has seen every problem: which server gets one is chance.

        With four servers that have met them twelve times, one in thirty is new to a server; with two, one in sixty.
        """
        with pinned(_CLIENT):
            for _ in range(3 * self.count):
                self._client.judge_batch((one.problem, "") for one in completions)

    def judge(self, completions: Sequence[Completion]) -> Pass:
        """Judge them all.

        Raises:
            RuntimeError: one is not AC.
        """
        with pinned(_CLIENT):
            servers_s, client_s, began_s = self._servers_s(), time.process_time(), time.perf_counter()
            results = self._client.judge_batch((one.problem, one.solution) for one in completions)
            passed = Pass(time.perf_counter() - began_s, time.process_time() - client_s, self._servers_s() - servers_s)
        for one, result in zip(completions, results, strict=True):
            if result.verdict is not Verdict.AC:
                raise RuntimeError(f"{one.problem.id} is {result.verdict}: {result.message}")
        return passed

    def _servers_s(self) -> float:
        return sum(map(family_s, self._pids))


_CLIENT = frozenset({max(ALL)})


def family_s(root: int) -> float:
    """CPU time of a process, of all that live below it, and of their children that have been waited for, s."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_bytes().rpartition(b") ")[2].split()
            except OSError:
                continue  # gone
            parents[int(path.name)] = int(fields[1])
            spent[int(path.name)] = sum(map(int, fields[11:15]))  # utime to cstime; proc_pid_stat(5)
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return sum(spent.get(pid, 0) for pid in found) / _TICKS_PER_S
