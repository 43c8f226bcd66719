"""Landlock alone: a process that restricted itself, and nothing else between it and the machine."""

import errno
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.worker import landlock, linux

HELD = {0, errno.EACCES, errno.EPERM}


def error_when_restricted(rights: dict[Path, int], act: Callable[[], object]) -> int:
    """The error that an action fails with in a process with these rights only; 0 where it succeeds."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
            rules = [landlock.path_rule(str(path), allowed) for path, allowed in rights.items()]
            landlock.restrict(landlock.make_ruleset(rules, landlock.version()))
            try:
                act()
                status = 0
            except OSError as error:
                status = error.errno or 254
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(autouse=True)
def _has_landlock() -> None:
    if landlock.version() < 1:
        pytest.skip("this kernel has no Landlock")


def needs(version: int) -> None:
    if landlock.version() < version:
        pytest.skip(f"this kernel's Landlock has version {landlock.version()}; {version} is needed")


def test_what_no_rule_grants_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for act in (
        (tmp_path / "file").read_text,
        lambda: (tmp_path / "file").write_text("y"),
        (tmp_path / "new").touch,
        (tmp_path / "folder").mkdir,
        (tmp_path / "file").unlink,
        lambda: list(tmp_path.iterdir()),
        lambda: os.execv("/bin/true", ["true"]),
    ):
        assert error_when_restricted({}, act) == errno.EACCES
    assert (tmp_path / "file").read_text() == "x"


def test_a_rule_grants_what_it_says_and_no_more(tmp_path: Path) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    for folder in (inside, beside):
        folder.mkdir()
        (folder / "file").write_text("x")
    reading = {inside: landlock.READ}
    assert error_when_restricted(reading, (inside / "file").read_text) == 0
    assert error_when_restricted(reading, lambda: (inside / "file").write_text("y")) == errno.EACCES
    assert error_when_restricted(reading, (beside / "file").read_text) == errno.EACCES
    own = {inside: landlock.OWN}
    for act in (
        lambda: (inside / "file").write_text("y"),
        (inside / "new").mkdir,
        lambda: (inside / "file").rename(inside / "moved"),
        lambda: os.mkfifo(inside / "fifo"),
    ):
        assert error_when_restricted(own, act) == 0
    assert error_when_restricted(own, lambda: (inside / "moved").rename(beside / "moved")) != 0


def test_a_folder_can_be_listed_whose_files_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    listing = {tmp_path: landlock.LIST}
    assert error_when_restricted(listing, lambda: list(tmp_path.iterdir())) == 0
    assert error_when_restricted(listing, (tmp_path / "file").read_text) == errno.EACCES


def test_a_single_file_can_be_granted(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).write_text("x")
    rights = {tmp_path / "one": landlock.WRITE}
    assert error_when_restricted(rights, lambda: (tmp_path / "one").write_text("y")) == 0
    assert error_when_restricted(rights, lambda: (tmp_path / "other").write_text("y")) == errno.EACCES


def test_a_file_that_may_only_be_written_to_cannot_be_truncated(tmp_path: Path) -> None:
    needs(3)
    (tmp_path / "file").write_text("x")
    rights = {tmp_path: landlock.READ | 1 << 1}  # LANDLOCK_ACCESS_FS_WRITE_FILE
    assert error_when_restricted(rights, lambda: os.truncate(tmp_path / "file", 0)) == errno.EACCES
    assert error_when_restricted(rights, lambda: os.close(os.open(tmp_path / "file", os.O_WRONLY))) == 0


def test_tcp_is_refused_both_ways() -> None:
    needs(4)
    assert error_when_restricted({}, lambda: socket.socket().bind(("127.0.0.1", 0))) == errno.EACCES
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert error_when_restricted({}, lambda: socket.socket().connect(address)) == errno.EACCES


def test_devices_take_no_commands() -> None:
    needs(5)
    import fcntl

    def ask_for_entropy() -> None:
        descriptor = os.open("/dev/urandom", os.O_RDONLY)
        fcntl.ioctl(descriptor, 0x80045200, bytes(4))  # RNDGETENTCNT

    ask_for_entropy()
    assert error_when_restricted({Path("/dev/urandom"): landlock.READ}, ask_for_entropy) == errno.EACCES


def test_processes_outside_cannot_be_signalled() -> None:
    needs(6)
    parent = os.getpid()
    assert error_when_restricted({}, lambda: os.kill(parent, 0)) == errno.EPERM
    assert error_when_restricted({}, lambda: os.kill(os.getpid(), 0)) == 0


def test_its_own_children_can_be_signalled() -> None:
    def start_and_end_a_child() -> None:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    assert error_when_restricted({}, start_and_end_a_child) == 0


def test_abstract_sockets_outside_cannot_be_reached() -> None:
    needs(6)
    name = f"\0qrpo-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)
        assert error_when_restricted({}, lambda: socket.socket(socket.AF_UNIX).connect(name)) == errno.EPERM
