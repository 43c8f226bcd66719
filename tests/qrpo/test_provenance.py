"""What numbers were made with."""

import json
import os
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from qrpo import provenance
from qrpo.provenance import commit, main


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_written_with_machine_and_versions(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "new" / "made_with.json")]) == 0
    found = json.loads((tmp_path / "new" / "made_with.json").read_text())
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["torch"] == metadata.version("torch")
    assert found["memory_gib"] > 0
    named = "model name" in Path("/proc/cpuinfo").read_text()
    assert found["processor"]
    assert (f": {found['processor']}\n" in Path("/proc/cpuinfo").read_text()) == named


def test_what_numbers_were_begun_with_stays(tmp_path: Path) -> None:
    (tmp_path / "made_with.json").write_text("{}")
    assert main(["--out", str(tmp_path / "made_with.json")]) == 0
    assert (tmp_path / "made_with.json").read_text() == "{}"


def test_the_commit_is_the_checkouts_and_says_whether_files_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "package" / "provenance.py"
    file.parent.mkdir()
    file.write_text("one")
    monkeypatch.setattr(provenance, "__file__", str(file))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "-a", "v1", "-m", "a name that is no commit")
    head = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert commit() == head
    file.write_text("two")
    assert commit() == f"{head}+"


def test_without_a_checkout_it_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == f"version {metadata.version('qrpo-sandbox')}"


def test_installed_within_somebodys_checkout_it_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "theirs")
    (tmp_path / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert commit() == f"version {metadata.version('qrpo-sandbox')}"


def test_where_it_cannot_be_written_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file" / "made_with.json")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
