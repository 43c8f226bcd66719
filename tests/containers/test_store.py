import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containers import store as store_module
from containers.hashes import text_digest
from containers.locks import lock_present
from containers.runtime import ContainerError
from containers.store import ImageStore

DAY_S = 86400.0
PREPARE = """
import sys
from pathlib import Path
from containers.store import ImageStore
print(ImageStore(Path(sys.argv[1])).prepare(sys.argv[2]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Locks that a process keeps until its end; here the end is that of a test."""
    yield
    forget()


def forget() -> None:
    for lock in store_module._held.values():
        os.close(lock)
    store_module._held.clear()


@pytest.fixture
def squashfs(tmp_path: Path) -> Path:
    return made(tmp_path / "x.sqsh", "one")


def made(path: Path, text: str, size: int = 0) -> Path:
    """An image with a file that has this text."""
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs is not installed")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "etc").mkdir()
        (root / "etc" / "text").write_text(text)
        (root / "large").write_bytes(os.urandom(size))
        (root / "link").symlink_to("etc/text")
        (root / "su").write_text("")
        (root / "su").chmod(0o4755)
        (root / "closed").mkdir(mode=0o555)
        subprocess.run(["mksquashfs", name, path, "-noappend", "-quiet", "-no-progress"], check=True)
    return path


def stand_in(folder: Path, script: str, name: str = "unsquashfs") -> dict[str, str]:
    """An environment in which a command is a script; $REAL is the true one, $LOG a file to write to."""
    real = shutil.which(name)
    commands = folder / "commands"
    commands.mkdir()
    command = commands / name
    command.write_text(f"#!/bin/sh\nREAL={real}\nLOG={folder / 'log'}\n{script}\n")
    command.chmod(0o755)
    (folder / "log").touch()
    return {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}


def started(folder: Path, image: Path | str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(folder), str(image)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def aged(folder: Path, days: float) -> None:
    for entry in folder.iterdir():
        os.utime(entry, times=(time.time() - days * DAY_S,) * 2)


def test_a_folder_is_used_as_it_is(folder: Path, tmp_path: Path) -> None:
    assert ImageStore(folder).prepare(str(tmp_path)) == tmp_path.resolve()
    assert not folder.exists()


def test_a_squashfs_is_unpacked_once(folder: Path, squashfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ImageStore(folder).prepare(str(squashfs))
    assert (root / "link").read_text() == "one"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("containers.unpacking._BESIDE_THE_PATH", ())
    assert ImageStore(folder).prepare(str(squashfs)) == root


def test_a_sif_is_unpacked(folder: Path, sif: Path, image: Path) -> None:
    root = ImageStore(folder).prepare(str(sif))
    assert (root / "usr" / "bin" / "python3").read_bytes() == (image / "usr" / "bin" / "python3").read_bytes()


def test_many_processes_at_once_unpack_once(folder: Path, squashfs: Path, tmp_path: Path) -> None:
    environment = stand_in(tmp_path, 'echo unpacked >> $LOG; sleep 0.5; exec $REAL "$@"')
    processes = [started(folder, squashfs, environment) for _ in range(8)]
    said = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    assert (tmp_path / "log").read_text() == "unpacked\n"
    [line] = said
    assert (Path(line.strip()) / "etc" / "text").read_text() == "one"


def test_many_processes_at_once_pull_once(folder: Path, squashfs: Path, tmp_path: Path) -> None:
    script = f'[ "$2 $3 $5" = "pull --disable-cache docker://x" ] && echo pulled >> $LOG; sleep 0.5; cp {squashfs} "$4"'
    environment = stand_in(tmp_path, script, "apptainer")
    processes = [started(folder, "docker://x", environment) for _ in range(8)]
    said = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    assert (tmp_path / "log").read_text() == "pulled\n"
    [line] = said
    assert (Path(line.strip()) / "etc" / "text").read_text() == "one"
    assert not list(folder.rglob("pulled.sif"))


def test_a_pull_that_was_killed_is_begun_anew(
    folder: Path, squashfs: Path, tmp_path: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    script = (
        f'head -c 100 {squashfs} > "$4"; echo $$ >> $LOG; [ $(wc -l < $LOG) = 1 ] && exec sleep 60; cp {squashfs} "$4"'
    )
    environment = stand_in(tmp_path, script, "apptainer")
    first = started(folder, "docker://x", environment)
    eventually(lambda: (tmp_path / "log").read_text().endswith("\n"))
    first.kill()
    first.communicate()
    os.kill(int((tmp_path / "log").read_text()), signal.SIGKILL)
    second = started(folder, "docker://x", environment)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert (Path(out.strip()) / "etc" / "text").read_text() == "one"
    assert not list(folder.glob("*/new-*"))


def test_a_pull_without_apptainer_says_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainerError, match=r"neither apptainer .*`enroot import -o FILE docker://x` makes a file"):
        ImageStore(folder).prepare("docker://x")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_without_locks_is_told(
    code: int, folder: Path, squashfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(ContainerError, match=r"images cannot be kept in .*name a folder on a local disk by"):
        ImageStore(folder).prepare(str(squashfs))
    assert not list(folder.glob("*/image"))


def test_what_a_killed_process_left_is_not_taken_for_an_image(
    folder: Path, squashfs: Path, tmp_path: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    environment = stand_in(tmp_path, 'mkdir -p "$8/etc"; echo half > "$8/etc/text"; echo $$ >> $LOG; exec sleep 60')
    process = started(folder, squashfs, environment)
    eventually(lambda: (tmp_path / "log").read_text().endswith("\n"))
    process.kill()
    process.communicate()
    assert ImageStore(folder).images() == []
    os.kill(int((tmp_path / "log").read_text()), signal.SIGKILL)
    root = ImageStore(folder).prepare(str(squashfs))
    assert (root / "etc" / "text").read_text() == "one"
    assert not list(folder.glob("*/new-*"))


def test_who_comes_after_a_kill_waits_for_the_command_that_still_writes(
    folder: Path, squashfs: Path, tmp_path: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    environment = stand_in(tmp_path, 'echo $$ >> $LOG; sleep 1; $REAL "$@"; echo ended >> $LOG')
    first = started(folder, squashfs, environment)
    eventually(lambda: (tmp_path / "log").read_text().endswith("\n"))
    first.kill()
    first.communicate()
    ImageStore(folder).prepare(str(squashfs))
    assert (tmp_path / "log").read_text().endswith("ended\n")


@pytest.mark.parametrize("end", [20, 3000, -5000])
def test_a_damaged_squashfs_is_told_and_leaves_nothing(
    folder: Path, tmp_path: Path, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("containers.unpacking._AMPLE", 0)  # of a disk that may be nearly full another hint is given
    image = made(tmp_path / "x.sqsh", "one", size=1 << 20)
    image.write_bytes(image.read_bytes()[:end])
    with pytest.raises(ContainerError, match=r"x\.sqsh could not be unpacked to [^(]*$"):
        ImageStore(folder).prepare(str(image))
    assert ImageStore(folder).images() == []
    assert not list(folder.glob("*/new-*"))


@pytest.mark.parametrize("end", [70, 200, 40000])
def test_a_damaged_sif_is_told(folder: Path, sif: Path, tmp_path: Path, end: int) -> None:
    cut = tmp_path / "cut.sif"
    cut.write_bytes(sif.read_bytes()[:end])
    with pytest.raises(ContainerError, match=r"cut\.sif (is a damaged SIF|is a SIF without|could not be unpacked)"):
        ImageStore(folder).prepare(str(cut))


def test_another_file_under_the_same_name_is_another_image(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    before = store.prepare(str(squashfs))
    made(squashfs, "two")
    after = store.prepare(str(squashfs))
    assert [(root / "etc" / "text").read_text() for root in (before, after)] == ["one", "two"]


def test_a_copy_of_a_file_is_the_same_image(folder: Path, squashfs: Path, tmp_path: Path) -> None:
    store = ImageStore(folder)
    assert store.prepare(str(squashfs)) == store.prepare(str(shutil.copy(squashfs, tmp_path / "y.sqsh")))


def test_a_file_is_read_once_for_its_hash(folder: Path, squashfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ImageStore(folder).prepare(str(squashfs))

    def fail(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("containers.hashes.file_digest", fail)
    ImageStore(folder).prepare(str(squashfs))


def test_verifying_reads_the_file_again(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    record = store.verify(str(squashfs))
    assert record is not None
    assert (record.reference, record.size_bytes) == (str(squashfs), 3)
    times = squashfs.stat()
    content = bytearray(squashfs.read_bytes())
    content[-1] ^= 1  # padding
    [known] = (folder / "known").iterdir()
    squashfs.write_bytes(content)
    os.utime(squashfs, ns=(times.st_atime_ns, times.st_mtime_ns))
    now = squashfs.stat()
    stamp = f"{now.st_dev} {now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}"
    known.rename(folder / "known" / text_digest(stamp))  # as if nothing had told of the change
    with pytest.raises(ContainerError, match=f"but {record.sha256} was unpacked"):
        store.verify(str(squashfs))


def test_an_image_of_which_a_file_was_removed_is_unpacked_anew(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    (store.prepare(str(squashfs)) / "etc" / "text").unlink()
    assert (store.prepare(str(squashfs)) / "etc" / "text").read_text() == "one"


def test_no_file_of_it_gives_another_users_rights(folder: Path, squashfs: Path) -> None:
    assert (ImageStore(folder).prepare(str(squashfs)) / "su").stat().st_mode & 0o7777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
def test_devices_of_it_are_left_out(folder: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mknod(tree / "disk", 0o60666, os.makedev(7, 0))
    image = tmp_path / "d.sqsh"
    subprocess.run(["mksquashfs", tree, image, "-quiet", "-no-progress"], check=True)
    assert not (ImageStore(folder).prepare(str(image)) / "disk").exists()


def test_what_nobody_uses_is_removed_by_its_age(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    store.prepare(str(squashfs))
    forget()
    aged(folder, 3)
    assert store.remove_unused(4 * DAY_S) == []
    [entry] = store.remove_unused(2 * DAY_S)
    assert not entry.exists()
    assert store.images() == []


def test_an_image_that_is_prepared_anew_after_the_store_was_deleted_is_in_use(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    store.prepare(str(squashfs))
    shutil.rmtree(folder)
    root = store.prepare(str(squashfs))
    assert ImageStore(folder).remove_unused(0) == []
    assert (root / "etc" / "text").read_text() == "one"


def test_what_is_used_is_not_removed_however_old_it_is(folder: Path, squashfs: Path) -> None:
    user = started(folder, squashfs, dict(os.environ))
    assert user.stdout is not None
    root = Path(user.stdout.readline().strip())
    aged(folder, 100)
    store = ImageStore(folder)
    assert [(image.path, image.in_use) for image in store.images()] == [(root, True)]
    assert store.remove_unused(0) == []
    user.kill()
    user.communicate()
    assert [image.in_use for image in store.images()] == [False]
    assert store.remove_unused(0) == [root.parent.parent]


def test_old_ones_go_when_a_new_one_is_unpacked(folder: Path, squashfs: Path, tmp_path: Path) -> None:
    store = ImageStore(folder)
    old = store.prepare(str(squashfs))
    forget()
    aged(folder, 15)
    new = store.prepare(str(made(tmp_path / "y.sqsh", "two")))
    assert [image.path for image in store.images()] == [new]
    assert not old.exists()


def test_a_use_makes_it_young_again(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    store.prepare(str(squashfs))
    aged(folder, 10)
    store.prepare(str(squashfs))
    assert store.images()[0].unused_s < 60


def test_who_waited_for_a_removal_finds_the_image_anew(folder: Path, squashfs: Path) -> None:
    store = ImageStore(folder)
    entry = store.prepare(str(squashfs)).parent.parent
    forget()
    lock = os.open(entry, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    user = started(folder, squashfs, dict(os.environ))
    time.sleep(0.5)
    shutil.rmtree(entry)
    os.close(lock)
    out, err = user.communicate(timeout=30)
    assert user.returncode == 0, err
    assert (Path(out.strip()) / "etc" / "text").read_text() == "one"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    image = made(tmp_path / "large.sqsh", "one", size=8 << 20)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "none", disk], check=True)
    try:
        store = ImageStore(disk / "images")
        with pytest.raises(ContainerError, match=r"No space left on device.*MiB are free there; .*image clean"):
            store.prepare(str(image))
        assert store.images() == []
        assert shutil.disk_usage(disk).free > 3 << 20
    finally:
        forget()
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_another_users_folder_is_refused(folder: Path, squashfs: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(ContainerError, match="must be a folder of this user"):
        ImageStore(folder).prepare(str(squashfs))


def test_a_folder_that_others_may_write_to_is_refused(folder: Path, squashfs: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ContainerError, match="must be a folder of this user"):
        ImageStore(folder).prepare(str(squashfs))


def test_a_link_in_place_of_the_folder_is_refused(folder: Path, squashfs: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    folder.symlink_to(tmp_path / "other")
    with pytest.raises(ContainerError, match="must be a folder of this user"):
        ImageStore(folder).prepare(str(squashfs))


def test_without_unsquashfs_it_says_what_to_do(
    folder: Path, squashfs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("containers.unpacking._BESIDE_THE_PATH", ())
    with pytest.raises(ContainerError, match="install squashfs-tools"):
        ImageStore(folder).prepare(str(squashfs))


def test_what_was_used_while_its_lock_was_taken_is_kept(
    folder: Path, squashfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(folder)
    root = store.prepare(str(squashfs))
    forget()
    aged(folder, 3)

    def after_another(entry: Path, operation: int) -> int:
        os.utime(entry)
        return lock_present(entry, operation)

    monkeypatch.setattr("containers.store.lock_present", after_another)
    assert store.remove_unused(DAY_S) == []
    assert root.exists()
