from __future__ import annotations

import subprocess
import sys

import pytest

import rewards
import sandbox

HEAVY = [
    "accelerate",
    "datasets",
    "fastapi",
    "httpx2",
    "matplotlib",
    "pyarrow",
    "scipy",
    "torch",
    "transformers",
    "trl",
]


@pytest.mark.parametrize("package", ["sandbox", "sandbox.cli", "rewards"])
def test_importing_it_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("package", [rewards, sandbox])
def test_the_public_names_are_sorted_and_exist(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert all(hasattr(package, name) for name in names)
