"""What the pipeline shows on the terminal, or writes to a job's log: stages, bars with rate and time left, notes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

_LOG_EVERY_S = 15.0
"""Between two lines of progress where there is no terminal."""

_WORTH_A_LINE_S = 2.0


class Bar:
    """One bar.

    The rate is that of this attempt: what an earlier one left done does not count.
    """

    def __init__(self, display: Display, what: str, total: int, done: int, unit: str) -> None:
        self._console = display.console
        self._what = what
        self._total = total
        self._done = self._start = done
        self._unit = unit
        self._note = ""
        self._since = self._last_line = time.monotonic()
        self._progress: Progress | None = None
        self._task = TaskID(0)
        if self._console.is_terminal and not self._console.quiet:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True, ratio=1)),
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task(what, total=total, completed=done, state="")

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Counts work done; `note` replaces what stands at the end of the line."""
        self._done += count
        if note is not None:
            self._note = note
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done, state=self.state())
        elif time.monotonic() - self._last_line >= _LOG_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(f"  {self._what}: {self.state()}", highlight=False, soft_wrap=True)

    def state(self) -> str:
        """Count, rate, time left and note, as one text."""
        elapsed = time.monotonic() - self._since
        rate = (self._done - self._start) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self._done}/{self._total} {self._unit}"]
        if rate > 0:
            parts += [f"{rate:.3g}/s", f"{duration((self._total - self._done) / rate)} left"]
        return " · ".join([*parts, *([self._note] if self._note else [])])

    def start(self) -> None:
        """Shows the bar."""
        if self._progress is not None:
            self._progress.update(self._task, state=self.state())
            self._progress.start()

    def stop(self) -> None:
        """Takes the bar away and leaves one line about what was done."""
        if self._progress is not None:
            self._progress.stop()
        took = duration(time.monotonic() - self._since)
        before = f" ({self._start} were there)" if self._start else ""
        self._console.print(
            f"  {self._what}: {self._done}/{self._total} {self._unit}{before} in {took}", highlight=False
        )


class Display:
    """Where the pipeline speaks to its user.

    Args:
        console: None: standard output.
        quiet: say nothing; for processes beside the first.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console if console is not None else Console(quiet=quiet)

    def stage(self, number: int, count: int, name: str, state: str) -> None:
        """Heads a stage."""
        self.console.print(f"[bold]\\[{number}/{count}] {name}[/bold] {state}", highlight=False)

    def note(self, text: str) -> None:
        """One line."""
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def wait(self, what: str) -> Iterator[None]:
        """Says what is being done inside the block, which cannot tell how far it is, and afterwards how long it took.

        Nothing is left of what is soon done.
        """
        since = time.monotonic()
        with self.console.status(what) if self.console.is_terminal else nullcontext():
            yield
        took = time.monotonic() - since
        if took >= _WORTH_A_LINE_S:
            self.note(f"{what}: {duration(took)}")

    @contextmanager
    def bar(self, what: str, *, total: int, done: int = 0, unit: str) -> Iterator[Bar]:
        """A bar that is there inside the block.

        Args:
            what: of what.
            total: units in all.
            done: units done in earlier attempts.
            unit: in plural.
        """
        bar = Bar(self, what, total, done, unit)
        bar.start()
        try:
            yield bar
        finally:
            bar.stop()


def duration(seconds: float) -> str:
    """`41 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
