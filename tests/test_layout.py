"""The cut into packages: who may import whom, and what the program inside the container may use."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKER = ROOT / "sandbox" / "worker"

# A package may import those on its right and itself: nothing below it in the list of docs/architecture.md.
ALLOWED = {
    "qrpo": {"rewards", "sandbox"},
    "rewards": {"sandbox"},
    "sandbox": {"containers"},
    "containers": set(),
    "slurm": set(),
}

# Modules of today's standard library that Python 3.8 does not have.
STDLIB_AFTER_38 = {"graphlib", "tomllib", "zoneinfo"}


def imported_modules(source: str, package: str) -> set[str]:
    """Absolute dotted names of everything `source` imports, at any depth; `package` resolves relative imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            names.add(".".join([*base, *([node.module] if node.module else [])]))
    return names


def without_function_bodies(source: str) -> str:
    """The part of a module that runs when it is imported."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def python_files(folder: Path) -> list[Path]:
    """All .py files under a folder, in a fixed order (xdist collects in several processes)."""
    return sorted(folder.rglob("*.py"))


def dotted_package(path: Path) -> str:
    """The package a file's relative imports start from."""
    return ".".join(path.relative_to(ROOT).parent.parts)


def relative_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_relative_imports_are_resolved() -> None:
    source = "from . import a\nfrom ..b import c\nimport x.y\ndef f():\n    from qrpo import z\n"
    assert imported_modules(source, "sandbox.worker") == {"sandbox.worker", "sandbox.b", "x.y", "qrpo"}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_go_one_way(package: str) -> None:
    files = python_files(ROOT / package)
    assert files, f"the package {package} has no files"
    wrong = [
        f"{relative_name(path)} imports {module}"
        for path in files
        for module in imported_modules(path.read_text(), dotted_package(path))
        if module.split(".")[0] in ALLOWED.keys() - ALLOWED[package] - {package}
    ]
    assert wrong == []


def test_nothing_in_the_packages_imports_the_tests_or_benchmarks() -> None:
    wrong = [
        relative_name(path)
        for package in ALLOWED
        for path in python_files(ROOT / package)
        if {name.split(".")[0] for name in imported_modules(path.read_text(), dotted_package(path))}
        & {"tests", "benchmarks"}
    ]
    assert wrong == []


def foreign_to_the_worker(source: str) -> set[str]:
    """Modules imported that are neither Python 3.8's standard library nor the worker's own."""
    stdlib = sys.stdlib_module_names - STDLIB_AFTER_38
    siblings = {file.stem for file in WORKER.glob("*.py")}  # the folder itself is sys.path[0] in a container
    return {
        module
        for module in imported_modules(source, "sandbox.worker")
        if module.split(".")[0] not in stdlib | siblings and not f"{module}.".startswith("sandbox.worker.")
    }


@pytest.mark.parametrize("path", python_files(WORKER), ids=relative_name)
def test_the_worker_imports_only_the_stdlib_and_itself(path: Path) -> None:
    source = path.read_text()
    # numpy is what judged programs may ask for: imported only when one of their values needs it, inside a function.
    # zoneinfo is of the standard library from Python 3.9 on, and likewise.
    assert foreign_to_the_worker(source) <= {"numpy", "zoneinfo"}
    assert foreign_to_the_worker(without_function_bodies(source)) == set()


@pytest.mark.parametrize("path", python_files(WORKER), ids=relative_name)
def test_the_worker_is_valid_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), filename=str(path), feature_version=(3, 8))


def test_commands_of_all_packages_are_in_one_command_line() -> None:
    commands = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["qrpo_sandbox.commands"]
    assert commands == {"eval": "rewards.cli:add_to", "fleet": "slurm.cli:add_to"}
    command = Path(sys.executable).with_name("qrpo-sandbox")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert [name for name in ("serve", "judge", *commands) if f"│ {name} " not in done.stdout] == []


def test_no_folder_of_tests_is_a_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
