"""What a batch script runs."""

import os
import subprocess
import sys
from pathlib import Path

from submitit.helpers import DelayedSubmission

TOLD = """
import os, signal
os.kill(os.getpid(), signal.SIGTERM)
from slurm.experiments.notices import Notices
print(Notices().is_ended)
"""


def test_a_signal_to_end_that_comes_while_submitit_starts_is_not_lost(tmp_path: Path) -> None:
    DelayedSubmission(exec, TOLD, {}).dump(tmp_path / "7_submitted.pkl")
    found = subprocess.run(
        [sys.executable, "-m", "slurm.experiments.slurm_job", str(tmp_path)],
        env=os.environ | {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "7", "SUBMITIT_PREEMPT_SIGNAL": "USR2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "True" in found.stdout, found.stderr
