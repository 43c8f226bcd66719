import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.endpoint import EndpointRecord, endpoints, locked, prepare_folder, publish, token_path
from sandbox.server.leftovers import sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "endpoints"
    prepare_folder(path)
    return path


def record(**changes: object) -> EndpointRecord:
    mine = EndpointRecord.of_this_process("http://127.0.0.1:1", 2, "0")
    return EndpointRecord(**(mine.model_dump() | changes))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_only_what_is_dead_is_removed(folder: Path) -> None:
    alive, dead, elsewhere = record(), record(started_ticks=1), record(host="other", boot_id="other", pid=1)
    for each in (alive, dead, elsewhere):
        publish(folder, each.name, each, "token")
    assert sweep(folder) == [dead]
    assert {found.record for found in endpoints(folder)} == {alive, elsewhere}
    assert len(names(folder)) == 4
    assert sweep(folder) == []


def test_what_was_half_written_is_removed(folder: Path) -> None:
    mine = record()
    token_path(folder, mine.name).write_text("token without endpoint")
    (folder / f".{mine.name}.json.abc.tmp").touch()
    (folder / "other-1-2-0a1b2c3d.token").write_text("of another node, which is about to write its endpoint")
    (folder / "other-1-3-0a1b2c3d.token").touch()
    os.utime(folder / "other-1-3-0a1b2c3d.token", (0, 0))  # of one that died over it
    assert sweep(folder) == []
    assert names(folder) == {"other-1-2-0a1b2c3d.token"}


def test_of_a_node_whose_name_begins_with_ours_nothing_is_taken_for_ours(folder: Path) -> None:
    name = f"{socket.gethostname()}-2-1-2-0a1b2c3d.token"
    (folder / name).touch()
    sweep(folder)
    assert names(folder) == {name}


def test_files_of_others_are_never_removed(folder: Path) -> None:
    for name in ("my.token", "hub-1.token", ".my.json.1.tmp"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    sweep(folder)
    assert names(folder) == {"my.token", "hub-1.token", ".my.json.1.tmp"}


def test_a_server_of_another_node_that_has_not_been_heard_of_for_long_is_removed(folder: Path) -> None:
    away = record(host="other", boot_id="other")
    os.utime(publish(folder, away.name, away, "token"), (0, 0))
    assert sweep(folder) == [away]
    assert names(folder) == set()


def test_a_dead_servers_socket_is_removed_unless_another_listens_there(folder: Path) -> None:
    left, taken = folder / "left", folder / "taken"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(taken))
        other.listen()
        for ticks, path in ((1, left), (2, taken)):
            dead = record(url=f"unix:{path}", started_ticks=ticks)
            publish(folder, dead.name, dead, None)
        assert len(sweep(folder)) == 2
        assert names(folder) == {"taken"}


def test_a_file_that_is_no_socket_is_never_removed(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("text")
    dead = record(url=f"unix:{precious}", started_ticks=1)
    publish(folder, dead.name, dead, None)
    assert sweep(folder) == [dead]
    assert precious.read_text() == "text"


@pytest.mark.parametrize("what", ["publish", "sweep"])
def test_who_writes_and_who_sweeps_wait_for_each_other(folder: Path, what: str) -> None:
    mine = record()
    with ThreadPoolExecutor(1) as pool:
        with locked(folder):
            done = pool.submit(sweep, folder) if what == "sweep" else pool.submit(publish, folder, "x", mine, None)
            with pytest.raises(TimeoutError):
                done.result(timeout=0.3)
        done.result(timeout=20)
