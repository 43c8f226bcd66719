"""An image to run in, made of this machine's own Python."""

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containers import apptainer, enroot
from containers.runtime import ContainerError
from containers.store import ImageStore

_PYTHON = Path("/usr/bin/python3")
_UNCOMPRESSED = ("-noI", "-noD", "-noF", "-noX")
_LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "__pycache__", "config-*", "*-packages")


def _libraries(files: list[Path]) -> set[Path]:
    """Shared libraries that they need, the loader included; ldd(1)."""
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", listed)}


def _copy(path: Path, image: Path) -> None:
    target = image / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


@pytest.fixture(scope="session")
def debian() -> Path:
    """An image with Debian's Python, numpy and sortedcontainers, as `.ci/image` makes it."""
    named = os.environ.get("QRPO_TEST_IMAGE")
    if not named:
        pytest.skip("QRPO_TEST_IMAGE names no folder that `.ci/image` has made")
    return Path(named)


@pytest.fixture(scope="session")
def needs_apptainer() -> None:
    """Skip where there is none."""
    try:
        apptainer.find_command()
    except ContainerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def needs_enroot() -> None:
    """Skip where there is none."""
    try:
        enroot.find_command()
    except ContainerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def public_folder() -> Iterator[Path]:
    """A folder that root's containers, which are another user's, can read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def store(public_folder: Path) -> ImageStore:
    """Where images are unpacked."""
    return ImageStore(public_folder / "images")


@pytest.fixture(scope="session")
def pack(public_folder: Path) -> Callable[[Path], Path]:
    """Make a squashfs of a folder."""
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs is not installed (Debian: squashfs-tools)")
    numbers = itertools.count()

    def make(folder: Path) -> Path:
        file = public_folder / f"{next(numbers)}.sqsh"
        command = ["mksquashfs", folder, file, "-all-root", "-no-progress", "-quiet", *_UNCOMPRESSED]
        subprocess.run(command, check=True, capture_output=True, timeout=200)
        file.chmod(0o644)
        return file

    return make


@pytest.fixture(scope="session")
def squashfs(image: Path, pack: Callable[[Path], Path]) -> Path:
    """The image as a file."""
    return pack(image)


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """A folder with little more than a Python, as minimal images are."""
    if not _PYTHON.exists():
        pytest.skip("no Python in /usr/bin, of which an image could be made")
    query = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    library = Path(subprocess.run([_PYTHON, "-c", query], capture_output=True, text=True, check=True).stdout.strip())
    with tempfile.TemporaryDirectory() as name:
        image = Path(name)
        image.chmod(0o755)  # root's containers are another user's
        inside = image / library.relative_to("/")
        shutil.copytree(library, inside, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        needed = [_PYTHON, Path("/bin/sh"), *inside.glob("lib-dynload/*.so")]
        for path in {*needed[:2], *_libraries(needed)}:
            _copy(path, image)
        for folder in ("tmp", "proc", "dev", "sys", "etc", "root", "home", "run", "var"):
            (image / folder).mkdir(exist_ok=True)
        (image / "root" / "notes.txt").write_text("not for programs")
        yield image


@pytest.fixture
def path_without_python(image: Path, tmp_path: Path) -> Path:
    """An image without a Python."""
    empty = tmp_path / "empty"
    for folder in ("bin", "tmp", "proc", "dev", "etc"):
        (empty / folder).mkdir(parents=True)
    for path in (Path("/bin/sh"), *_libraries([Path("/bin/sh")])):
        _copy(path, empty)
    for folder in (*tmp_path.parents, tmp_path, empty):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith(tempfile.gettempdir() + "/"):
            folder.chmod(0o755)
    return empty


@pytest.fixture(scope="session")
def sif(image: Path) -> Iterator[Path]:
    """The same image as a SIF."""
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs, with which Apptainer makes a SIF, is not installed")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = Path(name) / "image.sif"
        fast = "--mksquashfs-args=-Xcompression-level 1"
        command = [apptainer.find_command(), "--silent", "build", fast, str(made), str(image)]
        subprocess.run(command, check=True, capture_output=True, timeout=200)
        made.chmod(0o644)
        yield made
