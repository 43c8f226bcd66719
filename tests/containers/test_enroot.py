import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.contents import PROBE
from containers.enroot import EnrootRuntime, find_command
from containers.runtime import ContainerError
from containers.unpacked import Unpacked

STAND_IN = Path(__file__).parent / "enroot.sh"
RECORDER = """#!/bin/sh
{{ printf '%s\\n' "enroot $1"; tail=$1; shift
for argument; do printf '  %s\\n' "$argument"; done; set -- "$tail" "$@"; }} >>"$ENROOT_TEMP_PATH/calls"
exec {enroot} "$@"
"""
CALLS = """\
enroot create
  --force
  --name
  NAME.partial
  IMAGE
enroot start
  --rc=FOLDER/rc
  --mount=/proc:/proc:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=/sys:/sys:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=tmpfs:/dev:tmpfs:x-create=dir,nosuid,noexec,mode=755
  --mount=/dev/null:/dev/null:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/zero:/dev/zero:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/full:/dev/full:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/random:/dev/random:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/urandom:/dev/urandom:none:x-create=file,bind,nosuid,noexec
  --mount=tmpfs:/tmp:tmpfs:x-create=dir,nosuid,nodev,mode=700
  --mount=CODE:/.qrpo-sandbox/containers:none:x-create=dir,bind,ro,nosuid,nodev
  --env=PYTHONHASHSEED=0
  --env=LANG=C.UTF-8
  --env=OPENBLAS_NUM_THREADS=1
  --env=OMP_NUM_THREADS=1
  NAME
  python3
  /.qrpo-sandbox/containers/probe.py
enroot start
  --rc=FOLDER/rc
  --mount=/proc:/proc:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=/sys:/sys:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=tmpfs:/dev:tmpfs:x-create=dir,nosuid,noexec,mode=755
  --mount=/dev/null:/dev/null:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/zero:/dev/zero:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/full:/dev/full:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/random:/dev/random:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/urandom:/dev/urandom:none:x-create=file,bind,nosuid,noexec
  --mount=tmpfs:/tmp:tmpfs:x-create=dir,nosuid,nodev,mode=700
  --mount=FOLDER/a\\040b:/.qrpo-sandbox/a\\040b:none:x-create=dir,bind,ro,nosuid,nodev
  --env=PYTHONHASHSEED=0
  --env=LANG=C.UTF-8
  --env=OPENBLAS_NUM_THREADS=1
  --env=OMP_NUM_THREADS=1
  NAME
  python3
  -S
  -s
  -B
  -X
  utf8
  -c
  PROGRAM
  3
"""
"""What `RECORDER` wrote between us and enroot 4.1.2, which did it."""


@pytest.fixture
def folder(public_folder: Path) -> Path:
    """For what enroot unpacks."""
    parent = Path(tempfile.mkdtemp(dir=public_folder))
    parent.chmod(0o755)
    return parent / "unpacked"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, public_folder: Path) -> Callable[[str], None]:
    """Make a script be enroot."""

    def write(script: str) -> None:
        place = Path(tempfile.mkdtemp(dir=public_folder))
        place.chmod(0o755)
        command = place / "enroot"
        command.write_text(script)
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")

    return write


@pytest.fixture
def stand_in(install: Callable[[str], None]) -> None:
    install(STAND_IN.read_text())


@pytest.fixture
def file(public_folder: Path) -> Path:
    """What the stand-in takes for a squashfs."""
    path = public_folder / "standing-in.sqsh"
    path.write_bytes(b"hsqs and so on")
    path.chmod(0o644)
    return path


def answer(runtime: EnrootRuntime, program: str, folders: tuple[str, ...] = ()) -> tuple[str, int]:
    """What a program inside says on its descriptor, and how it ends."""
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as log:
        with theirs:
            process = runtime.start(["-c", program], theirs.fileno(), log, folders)
        said = b"".join(iter(lambda: ours.recv(1 << 16), b""))
        return said.decode(), process.wait(timeout=30)


SAY = "import os, sys; say = lambda value: os.write(int(sys.argv[-1]), str(value).encode())\n"


@pytest.mark.parametrize("kind", ["the stand-in", "enroot itself"])
def test_it_is_called_in_this_order_with_these_arguments(
    kind: str, folder: Path, file: Path, install: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    if kind == "enroot itself":
        request.getfixturevalue("needs_enroot")
        file = request.getfixturevalue("squashfs")
        install(RECORDER.format(enroot=find_command()))
    else:
        install(STAND_IN.read_text())
    runtime = EnrootRuntime(image=file, unpacked=Unpacked(folder=folder))
    runtime.root()
    shared = folder / "a b"
    shared.mkdir()
    shared.chmod(0o755)
    assert answer(runtime, SAY + "say(sys.argv)", (str(shared),)) == ("['-c', '3']", 0)
    [name] = [path.name for path in (folder / "data").iterdir()]
    said = (folder / "calls").read_text()
    for found, shown in (
        (name, "NAME"), (str(folder), "FOLDER"), (str(file), "IMAGE"), (SAY + "say(sys.argv)", "PROGRAM"),
        (str(PROBE.parent).replace(" ", "\\040"), "CODE"),
    ):  # fmt: skip
        said = said.replace(found, shown)
    assert said == CALLS


@pytest.mark.usefixtures("stand_in")
def test_what_a_site_or_a_user_configures_is_left_out(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENROOT_REMAP_ROOT", "yes")
    monkeypatch.setenv("ENROOT_SYSCONF_PATH", "/etc/enroot")
    monkeypatch.setenv("SECRET", "abc")
    EnrootRuntime(image=file, unpacked=Unpacked(folder=folder)).root()
    found = set((folder / "environment").read_text().replace(str(folder), "FOLDER").splitlines())
    assert found == {
        "ENROOT_ALLOW_SUPERUSER=no", "ENROOT_CACHE_PATH=FOLDER/cache", "ENROOT_CONFIG_PATH=FOLDER/none",
        "ENROOT_DATA_PATH=FOLDER/data", "ENROOT_LOGIN_SHELL=no", "ENROOT_REMAP_ROOT=no", "ENROOT_ROOTFS_WRITABLE=no",
        "ENROOT_RUNTIME_PATH=FOLDER/runtime", "ENROOT_SYSCONF_PATH=FOLDER/none", "ENROOT_TEMP_PATH=FOLDER",
        "ENROOT_UNSHARE_IPC=no", "ENROOT_UNSHARE_NET=no", "ENROOT_UNSHARE_PID=no", "ENROOT_UNSHARE_UTS=no",
        "HOME", "PATH",
    }  # fmt: skip
    assert not list((folder / "none").iterdir())


@pytest.mark.usefixtures("stand_in")
def test_many_that_start_at_once_unpack_once(folder: Path, file: Path) -> None:
    def start() -> None:
        answer(EnrootRuntime(image=file, unpacked=Unpacked(folder=folder)), "")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = (folder / "calls").read_text().splitlines()
    assert [calls.count("enroot create"), calls.count("enroot start")] == [1, 8]


@pytest.mark.usefixtures("stand_in")
def test_an_image_that_has_changed_is_unpacked_anew(folder: Path, file: Path) -> None:
    unpacked = Unpacked(folder=folder)
    EnrootRuntime(image=file, unpacked=unpacked).root()
    EnrootRuntime(image=file, unpacked=unpacked).root()
    assert len(list((folder / "data").iterdir())) == 1
    file.write_bytes(b"hsqs and so on and on")
    EnrootRuntime(image=file, unpacked=unpacked).root()
    assert len(list((folder / "data").iterdir())) == 2


@pytest.mark.usefixtures("stand_in")
def test_the_file_is_needed_no_more_once_it_is_unpacked(folder: Path, file: Path) -> None:
    runtime = EnrootRuntime(image=file, unpacked=Unpacked(folder=folder))
    runtime.root()
    file.unlink()
    assert answer(runtime, SAY + "say(1)") == ("1", 0)


def test_what_could_not_be_unpacked_is_told_and_not_taken_for_an_image(
    folder: Path, file: Path, install: Callable[[str], None]
) -> None:
    install('#!/bin/sh\nmkdir "$ENROOT_DATA_PATH/$4" && echo "No space left on device" >&2\nexit 7\n')
    unpacked = Unpacked(folder=folder)
    with pytest.raises(ContainerError, match=r"could not be unpacked: enroot ended with 7: No space left on device"):
        EnrootRuntime(image=file, unpacked=unpacked).root()
    install(STAND_IN.read_text())
    EnrootRuntime(image=file, unpacked=unpacked).root()
    assert "enroot create" in (folder / "calls").read_text()


@pytest.mark.usefixtures("stand_in")
def test_the_socket_and_the_exit_code_pass_through_and_nothing_else(folder: Path, file: Path) -> None:
    runtime = EnrootRuntime(image=file, unpacked=Unpacked(folder=folder))
    with Path("/dev/null").open() as extra:
        os.set_inheritable(extra.fileno(), True)
        look = "[n for n in range(4, 99) if os.path.exists('/proc/self/fd/%d' % n)]"
        said, code = answer(runtime, SAY + f"say(({look}, os.readlink('/proc/self/fd/0'))); sys.exit(9)")
    assert (said, code) == ("([], '/dev/null')", 9)


@pytest.mark.usefixtures("stand_in")
def test_a_folder_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"is a folder, .*make a squashfs of it: mksquashfs .*\.sqsh"):
        EnrootRuntime(image=tmp_path)


@pytest.mark.usefixtures("stand_in")
def test_an_image_that_is_not_there_or_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"there is no image at .*none\.sqsh"):
        EnrootRuntime(image=tmp_path / "none.sqsh")
    (tmp_path / "x.sif").write_bytes(b"#!/usr/bin/env run-singularity")
    with pytest.raises(ContainerError, match=r"x\.sif is not a squashfs, .*`enroot import docker://NAME`"):
        EnrootRuntime(image=tmp_path / "x.sif")


def test_without_enroot_it_says_so(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainerError, match=r"enroot is not on the PATH; .*pyxis"):
        EnrootRuntime(image=file)


@pytest.mark.usefixtures("needs_enroot")
class TestReal:
    """With enroot itself; what all runtimes promise is in test_runtime.py."""

    def test_hooks_and_mounts_of_the_user_and_the_site_stay_outside(
        self, squashfs: Path, folder: Path, public_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = Path(tempfile.mkdtemp(dir=public_folder))
        home.chmod(0o777)
        for place in ("hooks.d", "mounts.d"):
            (home / ".config" / "enroot" / place).mkdir(parents=True)
        hook = home / ".config" / "enroot" / "hooks.d" / "10-mark.sh"
        hook.write_text(f"#!/bin/sh\ntouch {home}/hooked\n")
        hook.chmod(0o755)
        (home / ".config" / "enroot" / "mounts.d" / "10-x.fstab").write_text(
            f"{home} /mounted none x-create=dir,bind\n"
        )
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        runtime = EnrootRuntime(image=squashfs, unpacked=Unpacked(folder=folder))
        said, _ = answer(runtime, SAY + f"say([os.path.exists(p) for p in ('/mounted', {str(home)!r}, '/etc/hosts')])")
        assert said == "[False, False, False]"
        assert not (home / "hooked").exists()

    def test_the_unpacked_image_is_read_only_inside(self, squashfs: Path, folder: Path) -> None:
        program = "\ntry: open('/usr/x', 'w')\nexcept OSError as error: say(error.strerror)"
        runtime = EnrootRuntime(image=squashfs, unpacked=Unpacked(folder=folder))
        assert answer(runtime, SAY + program)[0] == "Read-only file system"

    def test_an_entry_point_of_the_image_is_not_run(
        self, image: Path, folder: Path, pack: Callable[[Path], Path], public_folder: Path
    ) -> None:
        copy = public_folder / "with-entry-point"
        shutil.copytree(image, copy, symlinks=True)
        (copy / "etc" / "rc").write_text("echo entry point; exit 3\n")
        runtime = EnrootRuntime(image=pack(copy), unpacked=Unpacked(folder=folder))
        assert answer(runtime, SAY + "say('us')") == ("us", 0)

    def test_signals_reach_the_python_inside(self, squashfs: Path, folder: Path) -> None:
        runtime = EnrootRuntime(image=squashfs, unpacked=Unpacked(folder=folder))
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile() as log:
            with theirs:
                process = runtime.start(
                    ["-c", SAY + "say('up'); sys.stdin.close()\nwhile True: pass"], theirs.fileno(), log, []
                )
            assert ours.recv(2) == b"up"
            process.terminate()
            assert process.wait(timeout=30) == -15

    def test_a_squashfs_cut_off_is_told(self, squashfs: Path, folder: Path, public_folder: Path) -> None:
        cut = public_folder / "cut.sqsh"
        cut.write_bytes(squashfs.read_bytes()[:4096])
        cut.chmod(0o644)
        with pytest.raises(ContainerError, match=r"cut\.sqsh could not be unpacked: enroot ended with 1: "):
            EnrootRuntime(image=cut, unpacked=Unpacked(folder=folder)).root()
