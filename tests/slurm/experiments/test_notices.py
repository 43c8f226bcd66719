"""Signals that come before anybody listens."""

import subprocess
import sys

from slurm.experiments.notices import kept

TOLD = "import os, signal; [os.kill(os.getpid(), n) for n in (signal.SIGTERM, signal.SIGUSR2)]; "
LISTENS = "from slurm.experiments.notices import Notices; n = Notices(); print(n.is_ended, n.is_warned)"


def said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def test_what_comes_before_there_are_notices_is_noted_by_them() -> None:
    assert said(f"from slurm.experiments.notices import keep; keep(); {TOLD}{LISTENS}") == "True True"


def test_a_process_that_was_started_deaf_hears_what_has_come_once_it_listens() -> None:
    with kept():
        assert said(TOLD + LISTENS) == "True True"
    assert said(TOLD + LISTENS) == ""
