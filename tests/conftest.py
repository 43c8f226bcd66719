"""What every test may rely on: a clean environment, one thread, no network, repeatable Hypothesis runs."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# Settings of the person or the job that runs the tests must not reach them.
for name in list(os.environ):
    if name.startswith(("QRPO_SANDBOX_", "SBATCH_", "SLURM_", "WANDB_")) and name != "SLURM_CONF":
        del os.environ[name]

# Set before anything imports torch or a Hugging Face library, hence here and not in a fixture.
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        # With more threads than cores (xdist, other users) small torch operations take 50 times as long.
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_OFFLINE": "1",
    }
)

# The same examples on every run and machine; a slow machine is not a failing test.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of public data sets (HumanEval, MBPP, LeetCodeDataset), which are never part of this project."""
    folder = Path(os.environ.get("QRPO_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}: set QRPO_DATA to a folder that has them (CONTRIBUTING.md)")
    return folder
