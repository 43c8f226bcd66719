import os
import subprocess

from slurm.experiments.processes import is_there


def test_a_process_is_there_until_it_has_ended_whoever_it_belongs_to() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert is_there(process.pid)
        process.kill()
    assert not is_there(process.pid)
    assert is_there(os.getpid())
    assert is_there(1)
