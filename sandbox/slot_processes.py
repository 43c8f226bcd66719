"""The trusted processes of a slot as the host shows them, to tell whether somebody stopped or killed one of them.

The broker is a child of the first process, or at level `landlock` that process itself; zygote and judge are children of
the broker. The candidates, children of the zygote, are not among them: what they do with themselves is their business.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_STOPPED = ("T", "t")


class SlotProcesses:
    """Those of one slot.

    Args:
        first: pid of its first process, not yet waited for.
        is_broker: whether that is the broker.
    """

    def __init__(self, first: int, is_broker: bool) -> None:
        self.first = first
        self._is_broker = is_broker

    def stopped(self) -> list[int]:
        """Pids of those that a signal has stopped: nobody else will go on for them."""
        return [pid for pid in self._trusted() if _state(pid) in _STOPPED]

    def judge(self) -> int | None:
        """Pid of the judge, where there is one: it may wait for the next submission."""
        brokers = self._brokers()
        return next(iter(_children(brokers[0])[1:]), None) if brokers else None  # the zygote is the older child

    def kill(self) -> list[int]:
        """Kill the broker, and with it all that the slot runs; its first process then ends. Pids of all there were."""
        trusted = self._trusted()
        doomed = [*trusted, *(child for pid in trusted for child in _children(pid))]
        for pid in self._brokers():
            _signal(pid, signal.SIGKILL)
        _signal(self.first, signal.SIGCONT)
        return doomed

    def _trusted(self) -> list[int]:
        brokers = self._brokers()
        return [self.first, *brokers, *(child for broker in brokers for child in _children(broker))]

    def _brokers(self) -> list[int]:
        """The broker; nothing once it has ended."""
        return [self.first] if self._is_broker else _children(self.first)


def _children(pid: int) -> list[int]:
    """Of a process with one thread; proc(5)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []  # it is gone, or the kernel was built without (CONFIG_PROC_CHILDREN)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, but for its parent's notice of it."""
    return _state(pid) in ("", "Z", "X")


def _state(pid: int) -> str:
    """Empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1].decode()
    except OSError:
        return ""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended already
