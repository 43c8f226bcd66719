import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sandbox.cli import app
from sandbox.endpoint import EndpointRecord, prepare_folder, publish, token_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "endpoints"
    prepare_folder(path)
    return path


@pytest.fixture
def silent_port() -> Iterator[int]:
    """One where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def put(folder: Path, url: str, **changes: object) -> EndpointRecord:
    mine = EndpointRecord.of_this_process(url, 2, "0")
    record = EndpointRecord(**(mine.model_dump() | changes))
    publish(folder, record.name, record, "t")
    return record


def listed(folder: Path) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["servers", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_a_server_that_answers_is_ready(start_server: Callable[..., Any], folder: Path) -> None:
    record = put(folder, start_server().address, job="12_3")
    [row] = listed(folder)
    assert row.pop("heartbeat_age_s") < 20
    assert row == {
        "name": record.name,
        "url": record.url,
        "host": socket.gethostname(),
        "job": "12_3",
        "pid": os.getpid(),
        "workers": 2,
        "version": "0",
        "state": "ready",
        "path": str(folder / f"{record.name}.json"),
    }


def test_a_server_that_does_not_answer_is_unreachable_and_stays(folder: Path, silent_port: int) -> None:
    put(folder, f"http://127.0.0.1:{silent_port}")
    for _ in range(2):
        [row] = listed(folder)
        assert (row["state"], "no connection" in row["error"]) == ("unreachable", True)


def test_a_loopback_address_of_another_node_is_not_asked(start_server: Callable[..., Any], folder: Path) -> None:
    put(folder, start_server().address, host="elsewhere", boot_id="another")
    [row] = listed(folder)
    assert (row["state"], row["error"]) == ("unreachable", "it can be reached on elsewhere only")


def test_a_server_that_is_gone_is_removed(folder: Path, silent_port: int) -> None:
    record = put(folder, f"http://127.0.0.1:{silent_port}", started_ticks=1)
    assert listed(folder) == []
    assert not token_path(folder, record.name).exists()


def test_a_node_whose_server_has_not_been_heard_of_for_long_is_removed(folder: Path) -> None:
    record = put(folder, "http://elsewhere:1", host="elsewhere", boot_id="another")
    os.utime(folder / f"{record.name}.json", (0, 0))
    assert listed(folder) == []


def test_a_folder_that_is_not_there_has_no_servers(tmp_path: Path) -> None:
    assert listed(tmp_path / "missing") == []


def test_a_folder_that_others_can_open_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    done = CliRunner().invoke(app, ["servers", str(folder)])
    assert done.exit_code == 2
    assert "chmod 700" in done.stderr


def test_people_get_a_table(start_server: Callable[..., Any], folder: Path, silent_port: int) -> None:
    put(folder, start_server().address)
    put(folder, f"http://127.0.0.1:{silent_port}", pid_namespace=1, pid=1)
    shown = CliRunner().invoke(app, ["servers", str(folder)], env={"COLUMNS": "120"}).stdout
    assert "ready" in shown
    assert f"127.0.0.1:{silent_port}: no connection" in shown.replace("\n", " ")
