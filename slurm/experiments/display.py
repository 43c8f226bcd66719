"""Shows where an experiment stands, again and again: a live table, or lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.live import Live

from slurm.errors import ExperimentError
from slurm.experiments.standing import Standing
from slurm.experiments.state import Kind
from slurm.experiments.status_table import Summary

_LINE_S = 10.0
"""At the most one line in this time goes to a file."""
_LOCAL_LOOK_S = 2.0
"""How often tasks on this machine are looked at."""


class Display:
    """Of one command; for use in `with`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._said = ""
        self._said_s = -_LINE_S

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, standing: Standing) -> None:
        """Replaces what is shown."""
        if self._live is not None:
            self._live.update(Summary(standing), refresh=True)
            return
        counts = {kind: sum(state.kind is kind for state in standing.states) for kind in Kind}
        line = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        now_s = time.monotonic()
        if line != self._said and now_s - self._said_s >= _LINE_S:
            self._console.print(line, soft_wrap=True, highlight=False)
            self._said, self._said_s = line, now_s


@contextmanager
def shown_meanwhile(display: Display, look: Callable[[], Standing]) -> Iterator[None]:
    """Keeps it shown from a thread, while something else is done."""
    is_over = threading.Event()

    def keep() -> None:
        while not is_over.wait(_LOCAL_LOOK_S):
            try:
                display.show(look())
            except ExperimentError:  # nothing is written yet
                pass

    thread = threading.Thread(target=keep, name="display", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
