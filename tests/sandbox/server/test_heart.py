import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.endpoint import EndpointRecord, endpoints, prepare_folder
from sandbox.server.heart import Heart

Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "endpoints"
    prepare_folder(path)
    return path


def record() -> EndpointRecord:
    return EndpointRecord.of_this_process("http://127.0.0.1:1", 2, "0")


@contextmanager
def beating(folder: Path) -> Iterator[Path]:
    """A heart in a thread; the path of its entry."""
    began, ended = threading.Event(), threading.Event()

    async def live() -> None:
        async with Heart(folder, record(), "secret", beat_s=0.02):
            began.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        assert began.wait(20)
        yield folder / f"{record().name}.json"
    finally:
        ended.set()
        thread.join()


def test_an_entry_stays_young_as_long_as_its_server_lives_and_then_goes(folder: Path, eventually: Eventually) -> None:
    with beating(folder) as entry:
        os.utime(entry, (0, 0))
        eventually(lambda: next(endpoints(folder)).age_s < 10)
    assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("lost", ["entry", "token", "folder"])
def test_an_entry_that_somebody_removed_comes_back_with_its_token(
    folder: Path, eventually: Eventually, lost: str
) -> None:
    with beating(folder) as entry:
        token = entry.with_suffix(".token")
        match lost:
            case "folder":
                folder.rename(folder.with_name("elsewhere"))
            case "entry":
                entry.unlink()
            case _:
                token.unlink()
        eventually(lambda: entry.exists() and token.exists())
        [again] = endpoints(folder)
        assert (again.record, again.token) == (record(), "secret")


def test_a_folder_that_others_can_open_is_told_once_and_ends_nothing(
    folder: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), beating(folder) as entry:
        folder.chmod(0o755)
        entry.unlink()
        eventually(lambda: caplog.records)
        time.sleep(0.1)
        assert not entry.exists()
        folder.chmod(0o700)
        eventually(entry.exists)
    assert len([told for told in caplog.records if "take this server for dead" in told.message]) == 1


def test_a_token_stays_as_young_as_its_entry(folder: Path, eventually: Eventually) -> None:
    with beating(folder) as entry:
        token = entry.with_suffix(".token")
        os.utime(token, (0, 0))  # those who clean /tmp go by age
        eventually(lambda: token.stat().st_mtime > 0)


def test_an_entry_that_cannot_be_withdrawn_does_not_keep_its_server_from_finishing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lose() -> None:
        folder.rename(folder.with_name("elsewhere"))
        folder.touch()

    async def live() -> str:
        async with Heart(folder, record(), None):
            lose()
        return "finishes"

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(live()) == "finishes"
    assert "clients find this server until" in caplog.text
