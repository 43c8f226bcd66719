import json
from pathlib import Path

import pytest

from qrpo.artifacts import open_stage
from qrpo.check import main
from qrpo.locks import LOCK


def make(folder: Path) -> None:
    with open_stage(folder, stage="score", config={}, inputs={}) as stage:
        for name in ("scored.jsonl", "other.jsonl"):
            if not (folder / name).exists():
                (folder / name).write_text("1\n2\n")
        stage.finish(["scored.jsonl", "other.jsonl"])


def test_a_stage_that_is_done_and_unchanged_passes(tmp_path: Path) -> None:
    make(tmp_path / "score")
    assert main([str(tmp_path / "score")]) == 0


@pytest.mark.parametrize("ruin", [lambda path: path.write_text("1\n2"), lambda path: path.unlink()])
def test_an_output_that_is_cut_or_gone_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ruin: object
) -> None:
    make(tmp_path / "score")
    ruin(tmp_path / "score" / "scored.jsonl")  # type: ignore[operator]
    assert main([str(tmp_path / "score")]) == 1
    assert "score: scored.jsonl is missing or changed" in capsys.readouterr().err


def test_of_several_folders_none_may_be_missing_or_undone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "score")
    assert main([str(tmp_path / "score"), str(tmp_path / "train")]) == 1
    assert f"{tmp_path / 'train'}: the stage is not there" in capsys.readouterr().err
    with open_stage(tmp_path / "train", stage="train", config={}, inputs={}):
        pass
    assert main([str(tmp_path / "score"), str(tmp_path / "train")]) == 1
    assert f"{tmp_path / 'train'}: the stage is not done" in capsys.readouterr().err


def test_reopened_a_damaged_stage_goes_on_without_what_was_changed(tmp_path: Path) -> None:
    folder = tmp_path / "score"
    make(folder)
    (folder / "scored.jsonl").write_text("1\n2")
    assert main(["--reopen", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} - {LOCK} == {"manifest.json", "other.jsonl"}
    assert main([str(folder)]) == 1
    make(folder)
    assert main([str(folder)]) == 0
    assert (folder / "scored.jsonl").read_text() == "1\n2\n"


def test_what_is_whole_or_not_there_is_left_alone_by_reopening(tmp_path: Path) -> None:
    make(tmp_path / "score")
    before = (tmp_path / "score" / "manifest.json").stat().st_mtime_ns
    assert main(["--reopen", str(tmp_path / "score"), str(tmp_path / "train")]) == 0
    assert (tmp_path / "score" / "manifest.json").stat().st_mtime_ns == before
    assert not (tmp_path / "train").exists()


def test_a_folder_in_place_of_an_output_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "score"
    make(folder)
    (folder / "scored.jsonl").unlink()
    (folder / "scored.jsonl" / "sub").mkdir(parents=True)
    assert main(["--reopen", str(folder)]) == 0
    make(folder)
    assert main([str(folder)]) == 0


def test_a_manifest_cannot_have_files_of_others_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "score")
    (tmp_path / "mine").write_text("1")
    manifest = tmp_path / "score" / "manifest.json"
    before = manifest.read_text()
    for name in ("../mine", "sub/../../mine", ".", "sub/..", str(tmp_path / "mine")):
        manifest.write_text(before.replace('"other.jsonl"', json.dumps(name)))
        assert main(["--reopen", str(tmp_path / "score")]) == 1
        assert f"{name}, which does not lie in the folder" in capsys.readouterr().err
        assert (tmp_path / "mine").exists()
        assert (tmp_path / "score" / "scored.jsonl").exists()


def test_a_model_that_lies_elsewhere_and_is_linked_is_whole(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "weights").write_text("1")
    with open_stage(tmp_path / "train", stage="train", config={}, inputs={}) as stage:
        (tmp_path / "train" / "model").symlink_to(tmp_path / "scratch")
        stage.finish(["model"])
    assert main([str(tmp_path / "train")]) == 0
    assert main(["--reopen", str(tmp_path / "train")]) == 0
    assert main([str(tmp_path / "train")]) == 0
