import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from containers.host import HostRuntime, MissingPackageError


def inside(spec: dict[str, object], name: str) -> list[str]:
    listed = spec[name]
    assert isinstance(listed, dict | list)
    return list(listed)


def answer(program: str, runtime: HostRuntime | None = None) -> str:
    """What a program says on the descriptor it is given."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs, tempfile.TemporaryFile() as log:
            process = (runtime or HostRuntime()).start(["-c", program], theirs.fileno(), log, [])
        said = b"".join(iter(lambda: ours.recv(1 << 16), b""))
        assert process.wait(timeout=30) == 0
    return said.decode()


SAY = "import os, sys\ndef say(value): os.write(int(sys.argv[-1]), str(value).encode())\n"


def test_the_interpreter_and_the_systems_libraries_are_visible() -> None:
    spec = HostRuntime().root()
    binds = spec["binds"]
    assert isinstance(binds, dict)
    visible = [*binds, *inside(spec, "links")]
    assert any(os.path.realpath(sys.base_prefix).startswith(os.path.realpath(path)) for path in visible)
    assert "/usr" in binds
    assert all(Path(source).exists() for source in binds.values())


def test_what_runtimes_of_other_languages_read_is_visible_where_it_is() -> None:
    assert [path for path in inside(HostRuntime().root(), "binds") if path.startswith("/etc/java")] == sorted(
        str(path) for path in Path("/etc").glob("java*")
    )


def test_homes_configuration_and_sockets_are_not_visible() -> None:
    visible = inside(HostRuntime(packages=("numpy",)).root(), "binds")
    for secret in (
        "/",
        "/home",
        "/root",
        "/etc",
        "/var",
        "/run",
        "/tmp",
        "/proc",
        "/sys",
        "/dev",
        "/opt",
        "/srv",
        "/mnt",
    ):
        assert secret not in visible
    assert not [path for path in visible if path.startswith("/etc/") and ("shadow" in path or "ssh" in path)]


def test_this_project_and_its_environment_are_not_visible() -> None:
    binds = HostRuntime(packages=("numpy",)).root()["binds"]
    assert isinstance(binds, dict)
    project = Path(__file__).resolve().parents[2]
    for source in map(Path, binds.values()):
        assert not project.is_relative_to(source)
        if sys.prefix != sys.base_prefix and source.is_relative_to(sys.prefix):
            assert source.name in {"numpy", "numpy.libs"}


def test_site_packages_below_what_is_visible_are_hidden() -> None:
    hidden = inside(HostRuntime().root(), "hidden")
    here = Path(os.__file__).parent / "site-packages"  # of the base interpreter
    assert not here.is_dir() or str(here) in hidden
    assert all(Path(path).is_dir() for path in hidden)


def test_only_the_named_packages_are_bound_with_the_libraries_their_wheels_bring() -> None:
    spec = HostRuntime(packages=("numpy", "sortedcontainers")).root()
    packages = {path for path in inside(spec, "binds") if path.startswith("/packages/")}
    assert {"/packages/numpy", "/packages/sortedcontainers"} <= packages <= {
        "/packages/numpy", "/packages/numpy.libs", "/packages/sortedcontainers",
    }  # fmt: skip
    assert spec["path"] == ["/packages"]


def test_a_package_of_one_file_is_bound_as_that_file() -> None:
    spec = HostRuntime(packages=("typing_extensions",)).root()
    assert "/packages/typing_extensions.py" in inside(spec, "binds")


@pytest.mark.parametrize("name", ["no_such_package", "no-such-package"])
def test_a_missing_package_names_its_remedy(name: str) -> None:
    with pytest.raises(MissingPackageError, match=f"'{name}' is not installed here: .*pip install {name}"):
        HostRuntime(packages=(name,)).root()


def test_python_starts_with_the_program_and_the_number_of_the_descriptor() -> None:
    assert answer(SAY + "say(sys.version_info[:3])") == str(sys.version_info[:3])
    assert answer(SAY + "say(len(sys.argv))") == "2"


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("LD_PRELOAD", "")
    names = set(answer(SAY + "say(' '.join(os.environ))").split())
    assert names <= {"PYTHONHASHSEED", "LANG", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "LC_CTYPE"}


def test_the_environments_own_packages_cannot_be_imported() -> None:
    looked = (
        SAY + "import importlib.util as u\nsay([u.find_spec(n) is None for n in ('numpy', 'pytest', 'pip', 'sandbox')])"
    )
    assert answer(looked) == "[True, True, True, True]"


def test_nothing_else_of_the_caller_is_inherited() -> None:
    with Path("/dev/null").open() as extra:
        os.set_inheritable(extra.fileno(), True)
        code = SAY + "say(sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)))"
        opened = eval(answer(code))
    assert opened[:3] == [0, 1, 2]
    assert len(opened) == 4  # and the socket
    links = SAY + "say([os.readlink('/proc/self/fd/%d' % n) for n in (0, 1)])"
    assert answer(links) == str(["/dev/null"] * 2)


def test_hashes_and_the_order_of_sets_are_the_same_in_every_run() -> None:
    code = SAY + "say((hash('a'), {'a', 'b', 'c', 'd'}))"
    assert answer(code) == answer(code)


def test_it_is_a_session_of_its_own_in_the_root_folder() -> None:
    assert answer(SAY + "say((os.getsid(0) == os.getpid(), os.getcwd()))") == "(True, '/')"


def test_no_bytecode_is_written_and_text_is_utf8() -> None:
    assert answer(SAY + "say((sys.dont_write_bytecode, sys.flags.utf8_mode, sys.flags.no_site))") == "(True, 1, 1)"


def test_containers_imports_nothing_of_ours_but_itself() -> None:
    names = "('sandbox', 'rewards', 'qrpo', 'slurm', 'torch')"
    code = f"import sys, containers.host; print([m for m in sys.modules if m.split('.')[0] in {names}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
