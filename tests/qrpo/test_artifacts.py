import json
from importlib import metadata
from pathlib import Path

import pytest

from qrpo.artifacts import MANIFEST, open_stage, read_manifest
from qrpo.errors import PipelineError, StaleFolderError
from qrpo.files import hash_path, write_atomically


def make(folder: Path, config: dict[str, object] | None = None, *, source: Path) -> None:
    with open_stage(folder, stage="score", config=config or {"n": 1}, inputs={"source": source}) as stage:
        if not stage.done:
            (folder / "out.txt").write_text("result")
            stage.finish(["out.txt"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("input")
    return path


def test_a_done_stage_is_done_when_opened_again(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "s", source=source)
    with open_stage(tmp_path / "s", stage="score", config={"n": 1}, inputs={"source": source}) as stage:
        assert stage.done


def test_the_manifest_says_what_the_folder_was_made_from(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "s", {"n": 1, "path": Path("x"), "t": (1, 2)}, source=source)
    manifest = json.loads((tmp_path / "s" / MANIFEST).read_text())
    assert manifest["config"] == {"n": 1, "path": "x", "t": [1, 2]}
    assert manifest["inputs"] == {"source": hash_path(source)}
    assert manifest["outputs"] == {"out.txt": hash_path(tmp_path / "s" / "out.txt")}
    assert manifest["done"] is True


def test_another_configuration_is_refused_and_each_difference_named(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "s", {"n": 1, "old": True, "same": "x"}, source=source)
    with pytest.raises(StaleFolderError, match="different configuration") as caught:
        make(tmp_path / "s", {"n": 2, "same": "x"}, source=source)
    assert caught.value.differences == ("n: there 1, asked for 2", "old: there True, asked for nothing")
    assert "--output_dir" in str(caught.value)


def test_a_folder_left_half_way_is_refused_under_another_configuration(tmp_path: Path, source: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_stage(tmp_path / "s", stage="score", config={"n": 1}, inputs={}):
        raise KeyboardInterrupt
    with pytest.raises(StaleFolderError):
        make(tmp_path / "s", {"n": 2}, source=source)


def test_a_changed_input_is_refused(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "s", source=source)
    source.write_text("another")
    with pytest.raises(StaleFolderError, match="input source"):
        make(tmp_path / "s", source=source)


def test_a_missing_input_names_the_stage_and_the_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"stage score needs source.*gone"):
        make(tmp_path / "s", source=tmp_path / "gone")


@pytest.mark.parametrize("damage", ["changed", "deleted"])
def test_an_output_that_is_not_as_it_was_is_refused(tmp_path: Path, source: Path, damage: str) -> None:
    make(tmp_path / "s", source=source)
    output = tmp_path / "s" / "out.txt"
    if damage == "changed":
        output.write_text("tampered")
    else:
        output.unlink()
    with pytest.raises(PipelineError, match=r"out\.txt is missing or changed"):
        make(tmp_path / "s", source=source)


def test_a_folder_of_other_files_is_not_taken_over(tmp_path: Path, source: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("mine")
    with pytest.raises(PipelineError, match="no manifest"):
        make(tmp_path / "s", source=source)


def test_a_manifest_that_is_no_manifest_is_an_error_with_its_path(tmp_path: Path, source: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / MANIFEST).write_text('{"stage": 3}')
    with pytest.raises(PipelineError, match="manifest"):
        make(tmp_path / "s", source=source)


def test_time_of_interrupted_attempts_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("qrpo.artifacts.time.monotonic", lambda: now)
    with pytest.raises(KeyboardInterrupt), open_stage(tmp_path / "s", stage="score", config={}, inputs={}):  # noqa: PT012
        now = 5.0
        raise KeyboardInterrupt
    with open_stage(tmp_path / "s", stage="score", config={}, inputs={}) as stage:
        now = 7.0
        assert stage.elapsed == 7.0
        stage.finish([])
    manifest = read_manifest(tmp_path / "s")
    assert manifest is not None
    assert manifest.seconds == 7.0


def test_versions_of_all_that_took_part_are_kept(tmp_path: Path) -> None:
    for attempt in ("1.0", "1.0", "1.1"):
        with open_stage(tmp_path / "s", stage="score", config={}, inputs={}) as stage:
            stage.add_versions({"engine": attempt})
    manifest = read_manifest(tmp_path / "s")
    assert manifest is not None
    assert manifest.versions["engine"] == "1.0, 1.1"
    assert manifest.versions["torch"] == metadata.version("torch")


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_atomically(path, "old")

    def fail(number: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("qrpo.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_hash_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for name, content in (("a", "x"), ("b", "x"), ("a", "y")):
        folder = tmp_path / f"{name}{content}"
        folder.mkdir()
        (folder / name).write_text(content)
        hashes.add(hash_path(folder))
    assert len(hashes) == 3


def test_a_file_is_hashed_anew_once_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one")
    first = hash_path(path)
    assert hash_path(path) == first
    path.write_text("two")
    assert hash_path(path) != first


def test_what_a_kill_leaves_before_the_manifest_does_not_close_the_folder(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for name in (".lock", ".manifest.json.x1y2"):
        (folder / name).touch()
    make(folder, source=source)
    assert (folder / "out.txt").is_file()
