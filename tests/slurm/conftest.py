"""The Slurm that this host is a node of, where it is one."""

import re
import shutil
import socket
import subprocess

import pytest


@pytest.fixture(scope="session")
def node_names() -> list[str]:
    """By which Slurm knows this host: one for each slurmd that runs here."""
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed here (no sbatch)")
    show = subprocess.run(["scontrol", "--oneliner", "show", "nodes"], capture_output=True, text=True, check=False)
    host = re.escape(socket.gethostname().split(".")[0])
    names = re.findall(rf"^NodeName=(\S+).*\bNodeHostName={host}\b", show.stdout, re.MULTILINE)
    if not names:
        pytest.skip("this host is no node of a running Slurm")
    return names
