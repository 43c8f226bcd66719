import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qrpo.artifacts import open_stage
from qrpo.errors import PipelineError

HOLD = """
import sys
from pathlib import Path
from qrpo.locks import alone
with alone(Path(sys.argv[1])):
    print(flush=True)
    input()
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield other
        other.kill()


def enter(folder: Path) -> None:
    with open_stage(folder, stage="score", config={}, inputs={}) as stage:
        if not stage.done:
            stage.finish([])


def test_a_folder_in_which_another_process_is_at_work_is_refused(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(PipelineError, match="another process is at work"):
        enter(tmp_path)


def test_a_killed_process_gives_the_folder_back(tmp_path: Path) -> None:
    with held(tmp_path) as other:
        other.kill()
        other.wait()
        enter(tmp_path)


def test_a_finished_stage_is_read_while_others_look_at_it(tmp_path: Path) -> None:
    enter(tmp_path)
    with held(tmp_path):
        enter(tmp_path)
