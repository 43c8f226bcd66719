"""The short form of `benchmarks/faults.py`, which tells what its figures mean."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "faults.py"


def test_no_verdict_and_no_slot_is_lost_when_processes_of_slots_are_killed_and_stopped() -> None:
    command = [sys.executable, str(BENCHMARK), "--kills", "40", "--minutes", "1", "--workers", "4", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    faults = {name: report[name] for name in ("lost", "doubled", "wrong", "slots_lost", "left")}
    assert faults == {"lost": 0, "doubled": 0, "wrong": 0, "slots_lost": 0, "left": 0}, done.stderr
    assert report["kills"] >= 1
    assert done.returncode == 0, done.stderr
