import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import enroot
from containers.contents import PROBE
from containers.enroot import EnrootRuntime, find_command
from containers.runtime import ContainerError
from containers.startable import make_startable, runtime_folder
from containers.store import ImageStore
from containers.tree import measured

STAND_IN = Path(__file__).parent / "enroot.sh"
RECORDER = """#!/bin/sh
{{ printf '%s\\n' "enroot $1"; tail=$1; shift
for argument; do printf '  %s\\n' "$argument"; done; set -- "$tail" "$@"; }} >>"$(dirname "$0")/calls"
exec {enroot} "$@"
"""
CALLS = """\
enroot start
  --rc=RC
  --mount=/proc:/proc:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=/sys:/sys:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=tmpfs:/dev:tmpfs:x-create=dir,nosuid,noexec,mode=755
  --mount=/dev/null:/dev/null:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/zero:/dev/zero:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/full:/dev/full:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/random:/dev/random:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/urandom:/dev/urandom:none:x-create=file,bind,nosuid,noexec
  --mount=tmpfs:/tmp:tmpfs:x-create=dir,nosuid,nodev,mode=700
  --mount=tmpfs:/.qrpo-sandbox:tmpfs:x-create=dir,nosuid,nodev,mode=755
  --mount=CODE:/.qrpo-sandbox/containers:none:x-create=dir,bind,ro,nosuid,nodev
  --env=PYTHONHASHSEED=0
  --env=LANG=C.UTF-8
  --env=OPENBLAS_NUM_THREADS=1
  --env=OMP_NUM_THREADS=1
  root
  python3
  /.qrpo-sandbox/containers/probe.py
enroot start
  --rc=RC
  --mount=/proc:/proc:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=/sys:/sys:none:x-create=dir,rbind,nosuid,nodev,noexec,rslave
  --mount=tmpfs:/dev:tmpfs:x-create=dir,nosuid,noexec,mode=755
  --mount=/dev/null:/dev/null:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/zero:/dev/zero:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/full:/dev/full:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/random:/dev/random:none:x-create=file,bind,nosuid,noexec
  --mount=/dev/urandom:/dev/urandom:none:x-create=file,bind,nosuid,noexec
  --mount=tmpfs:/tmp:tmpfs:x-create=dir,nosuid,nodev,mode=700
  --mount=tmpfs:/.qrpo-sandbox:tmpfs:x-create=dir,nosuid,nodev,mode=755
  --mount=FOLDER/a\\040b:/.qrpo-sandbox/a\\040b:none:x-create=dir,bind,ro,nosuid,nodev
  --env=PYTHONHASHSEED=0
  --env=LANG=C.UTF-8
  --env=OPENBLAS_NUM_THREADS=1
  --env=OMP_NUM_THREADS=1
  root
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
    """For what this test makes."""
    made = Path(tempfile.mkdtemp(dir=public_folder))
    made.chmod(0o755)
    return made


@pytest.fixture
def commands(folder: Path) -> Path:
    """Where enroot is, and writes down how it was called; root's is another user's."""
    made = folder / "commands"
    made.mkdir()
    made.chmod(0o777)
    return made


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, commands: Path) -> Callable[[str], None]:
    """Make a script be enroot."""

    def write(script: str) -> None:
        command = commands / "enroot"
        command.write_text(script)
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")

    return write


@pytest.fixture
def stand_in(install: Callable[[str], None]) -> None:
    install(STAND_IN.read_text())


@pytest.fixture
def prepared(folder: Path) -> Path:
    """What the stand-in takes for an unpacked image: it runs this host's Python."""
    root = folder / "image" / "root"
    root.mkdir(parents=True)
    make_startable(root)
    return root


@pytest.fixture
def unpacked(squashfs: Path, store: ImageStore) -> Path:
    """An image that has a Python."""
    return store.prepare(str(squashfs))


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
    kind: str, folder: Path, commands: Path, install: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    if kind == "enroot itself":
        request.getfixturevalue("needs_enroot")
        root = request.getfixturevalue("unpacked")
        install(RECORDER.format(enroot=find_command()))
    else:
        root = request.getfixturevalue("prepared")
        install(STAND_IN.read_text())
    before = measured(root)
    runtime = EnrootRuntime(image=root)
    runtime.root()
    shared = folder / "a b"
    shared.mkdir()
    shared.chmod(0o755)
    assert answer(runtime, SAY + "say(sys.argv)", (str(shared),)) == ("['-c', '3']", 0)
    said = (commands / "calls").read_text()
    for found, shown in (
        (str(enroot._RC), "RC"), (str(folder), "FOLDER"), (SAY + "say(sys.argv)", "PROGRAM"),
        (str(PROBE.parent).replace(" ", "\\040"), "CODE"),
    ):  # fmt: skip
        said = said.replace(found, shown)
    assert said == CALLS
    assert measured(root) == before
    assert not list(runtime_folder(root).iterdir())


@pytest.mark.usefixtures("stand_in")
def test_what_a_site_or_a_user_configures_is_left_out(
    prepared: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENROOT_REMAP_ROOT", "yes")
    monkeypatch.setenv("ENROOT_SYSCONF_PATH", "/etc/enroot")
    monkeypatch.setenv("ENROOT_TEMP_PATH", "/elsewhere")
    monkeypatch.setenv("SECRET", "abc")
    EnrootRuntime(image=prepared).root()
    found = set((commands / "environment").read_text().replace(str(prepared.parent), "IMAGE").splitlines())
    assert found == {
        "ENROOT_ALLOW_SUPERUSER=no", "ENROOT_CACHE_PATH=IMAGE/runtime", "ENROOT_CONFIG_PATH=IMAGE/runtime/none",
        "ENROOT_DATA_PATH=IMAGE", "ENROOT_LOGIN_SHELL=no", "ENROOT_REMAP_ROOT=no", "ENROOT_ROOTFS_WRITABLE=no",
        "ENROOT_RUNTIME_PATH=IMAGE/runtime", "ENROOT_SYSCONF_PATH=IMAGE/runtime/none",
        "ENROOT_TEMP_PATH=IMAGE/runtime",
        "ENROOT_UNSHARE_IPC=no", "ENROOT_UNSHARE_NET=no", "ENROOT_UNSHARE_PID=no", "ENROOT_UNSHARE_UTS=no",
        "HOME", "PATH",
    }  # fmt: skip
    assert not (runtime_folder(prepared) / "none").exists()


@pytest.mark.usefixtures("stand_in")
def test_the_socket_and_the_exit_code_pass_through_and_nothing_else(prepared: Path) -> None:
    runtime = EnrootRuntime(image=prepared)
    with Path("/dev/null").open() as extra:
        os.set_inheritable(extra.fileno(), True)
        look = "[n for n in range(4, 99) if os.path.exists('/proc/self/fd/%d' % n)]"
        said, code = answer(runtime, SAY + f"say(({look}, os.readlink('/proc/self/fd/0'))); sys.exit(9)")
    assert (said, code) == ("([], '/dev/null')", 9)


@pytest.mark.usefixtures("stand_in")
def test_a_folder_that_no_store_has_made_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"is a folder of your own, .*make a squashfs of it: mksquashfs .*\.sqsh"):
        EnrootRuntime(image=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("stand_in")
def test_an_image_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"there is no image at .*none; name a folder in which one was unpacked"):
        EnrootRuntime(image=tmp_path / "none")


@pytest.mark.usefixtures("stand_in")
def test_a_name_with_a_space_which_enroot_takes_apart_is_refused(folder: Path) -> None:
    root = folder / "a b" / "root"
    root.mkdir(parents=True)
    make_startable(root)
    with pytest.raises(ContainerError, match=r"'.*/a b/root', whose name has a space; .*QRPO_SANDBOX_IMAGES"):
        EnrootRuntime(image=root)


def test_without_enroot_it_says_so(prepared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainerError, match=r"enroot is not on the PATH; .*pyxis"):
        EnrootRuntime(image=prepared)


@pytest.mark.usefixtures("needs_enroot")
class TestReal:
    """With enroot itself; what all runtimes promise is in test_runtime.py."""

    def test_hooks_and_mounts_of_the_user_and_the_site_stay_outside(
        self, unpacked: Path, public_folder: Path, monkeypatch: pytest.MonkeyPatch
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
        runtime = EnrootRuntime(image=unpacked)
        said, _ = answer(runtime, SAY + f"say([os.path.exists(p) for p in ('/mounted', {str(home)!r}, '/etc/hosts')])")
        assert said == "[False, False, False]"
        assert not (home / "hooked").exists()

    def test_the_unpacked_image_is_read_only_inside(self, unpacked: Path) -> None:
        program = "\ntry: open('/usr/x', 'w')\nexcept OSError as error: say(error.strerror)"
        runtime = EnrootRuntime(image=unpacked)
        assert answer(runtime, SAY + program)[0] == "Read-only file system"

    def test_an_entry_point_of_the_image_is_not_run(
        self, image: Path, store: ImageStore, pack: Callable[[Path], Path], public_folder: Path
    ) -> None:
        copy = public_folder / "with-entry-point"
        shutil.copytree(image, copy, symlinks=True)
        (copy / "etc" / "rc").write_text("echo entry point; exit 3\n")
        runtime = EnrootRuntime(image=store.prepare(str(pack(copy))))
        assert answer(runtime, SAY + "say('us')") == ("us", 0)

    def test_signals_reach_the_python_inside(self, unpacked: Path) -> None:
        runtime = EnrootRuntime(image=unpacked)
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile() as log:
            with theirs:
                process = runtime.start(
                    ["-c", SAY + "say('up'); sys.stdin.close()\nwhile True: pass"], theirs.fileno(), log, []
                )
            assert ours.recv(2) == b"up"
            process.terminate()
            assert process.wait(timeout=30) == -15

    def test_a_sif_is_started_too(self, sif: Path, store: ImageStore) -> None:
        assert answer(EnrootRuntime(image=store.prepare(str(sif))), SAY + "say('up')") == ("up", 0)
