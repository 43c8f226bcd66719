"""Many looks at a machine at once, of which each may fail or hang without the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from sandbox.checkup.check import Check, Group, gap

T = TypeVar("T")
HANGS = "see whether a file system or a service of this node hangs (`dmesg`, `df`), and ask for its repair"
"""What to do about what does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Something to look at."""

    group: Group
    name: str
    """Of the check that tells that it could not be done."""
    do: Callable[[], Sequence[Check]]


def begin(looks: Sequence[Look]) -> list[Future[Sequence[Check]]]:
    """Start all; what hangs, as on a file system whose server is gone, hangs in a thread that nobody waits for."""
    return [started(look.do) for look in looks]


def started(do: Callable[[], T]) -> Future[T]:
    """Do it in a thread of its own, which the end of this process does not wait for."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(do())
        except BaseException as error:  # noqa: BLE001  # it is for who waits
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def end(looks: Sequence[Look], futures: Sequence[Future[Sequence[Check]]], timeout_s: float) -> list[Check]:
    """What they have found, in their order; what has found nothing after so long is told as a gap."""
    deadline_s = time.monotonic() + timeout_s
    checks: list[Check] = []
    for look, future in zip(looks, futures, strict=True):
        try:
            checks += future.result(timeout=max(0.0, deadline_s - time.monotonic()))
        except TimeoutError:
            detail = f"no answer within {timeout_s:g} s"
            checks.append(gap(look.group, look.name, detail, HANGS))
        except Exception as error:  # noqa: BLE001  # whatever one of them meets, the others are told
            detail = f"could not be looked at: {type(error).__name__}: {error}"
            checks.append(gap(look.group, look.name, detail, "report this with the output of this command"))
    return checks
