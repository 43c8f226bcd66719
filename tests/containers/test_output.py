import time
from pathlib import Path

import pytest

from containers.output import output_of


def test_it_is_what_the_command_writes_to_stdout() -> None:
    assert output_of(["/bin/sh", "-c", "echo out; echo err >&2"]) == "out\n"


@pytest.mark.parametrize("command", [["/no/such/command"], ["/bin/sh", "-c", "echo out; exit 1"]])
def test_a_command_that_fails_or_is_not_there_has_none(command: list[str]) -> None:
    assert output_of(command) is None


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    began_s = time.monotonic()
    assert output_of(["/bin/sh", "-c", f"(sleep 1; touch '{tmp_path}/late') & wait"], timeout_s=0.2) is None
    assert time.monotonic() - began_s < 0.9
    time.sleep(1.5)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_does_not_stop_talking_is_ended_early() -> None:
    began_s = time.monotonic()
    assert output_of(["/bin/sh", "-c", "yes"], timeout_s=30) is None
    assert time.monotonic() - began_s < 10


def test_a_command_that_closes_its_output_and_lives_on_is_ended() -> None:
    began_s = time.monotonic()
    assert output_of(["/bin/sh", "-c", "exec >&-; sleep 30"], timeout_s=0.2) is None
    assert time.monotonic() - began_s < 10
