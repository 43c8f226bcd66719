"""What stands on a terminal and in a log."""

import io
import threading
import time

import pytest
from rich.console import Console

from qrpo.display import Display


def test_a_log_says_what_takes_long_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that hashes a model of 16 GB is else taken for one that hangs."""
    monkeypatch.setattr("qrpo.display._WORTH_A_LINE_S", 0.01)
    out = io.StringIO()
    with Display(Console(file=out)).wait("reading problems"):
        end = time.monotonic() + 10
        while not out.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        assert out.getvalue() == "  reading problems ...\n"
    assert out.getvalue().splitlines()[1:] == ["  reading problems: 0 s"]


def test_what_is_soon_done_leaves_nothing_in_a_log() -> None:
    out = io.StringIO()
    with Display(Console(file=out)).wait("reading problems"):
        pass
    waiting = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(thread.finished.is_set() for thread in waiting)  # cancelled: it says nothing afterwards
    assert out.getvalue() == ""


def test_a_terminal_shows_it_only_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qrpo.display._WORTH_A_LINE_S", 0.05)
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True)).wait("reading problems"):
        time.sleep(0.2)
    assert "..." not in out.getvalue()
    assert "reading problems: 0 s" in out.getvalue()
