"""A stage in shards, and their merging: real stages on the toy model."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from qrpo.config import parse
from qrpo.display import Display
from qrpo.errors import ConfigError, PipelineError, ShardError, StaleFolderError
from qrpo.interrupts import Interrupts
from qrpo.paths import Shard
from qrpo.shards import find_shards
from qrpo.train_code import run

Start = Callable[..., None]

COMPLETIONS = "generate/completions.jsonl"
SCORED = "score/scored.jsonl"


@pytest.fixture(scope="session")
def start(code_model_dir: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Runs the pipeline in a folder: three problems, and with 16 completions at a time as many batches."""
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    path.write_text("output_dir: nowhere\nmax_new_tokens: 6\nnum_completions: 8\nbatch_completions: 8\nuse_cpu: true\n")

    def start(output: Path, *options: object) -> None:
        config = parse(
            [
                *("--config", str(path), "--model_name_or_path", str(code_model_dir), "--bf16", "false"),
                *("--train_problems", str(toy_problems / "train.jsonl"), "--heldout_problems", "null"),
                *("--output_dir", str(output), "--sandbox_workers", "2", *map(str, options)),
            ]
        )
        run(config, Display(Console(file=io.StringIO())), Interrupts())

    return start


@pytest.fixture(scope="session")
def whole(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages without shards."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    start(folder, "--stage", "generate")
    start(folder, "--stage", "score")
    return folder


@pytest.fixture(scope="session")
def _sharded(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded") / "run"
    for stage in ("generate", "score"):
        for shard in (1, 0):
            start(folder, "--stage", stage, "--num_shards", 2, "--shard", shard)
    return folder


@pytest.fixture
def sharded(_sharded: Path, tmp_path: Path) -> Path:
    """Both stages in two shards, of one's own."""
    return Path(shutil.copytree(_sharded, tmp_path / "sharded"))


def test_merged_shards_are_what_the_stage_makes_without_them(start: Start, whole: Path, sharded: Path) -> None:
    assert not (sharded / COMPLETIONS).exists()
    start(sharded, "--stage", "merge")
    for name in (COMPLETIONS, SCORED):
        assert (sharded / name).read_bytes() == (whole / name).read_bytes()
    for stage in ("generate", "score"):
        made, wanted = (json.loads((folder / stage / "manifest.json").read_text()) for folder in (sharded, whole))
        assert {**made, "seconds": 0} == {**wanted, "seconds": 0}


def test_the_whole_has_the_versions_of_all_shards(start: Start, sharded: Path) -> None:
    for shard, version in ((0, "1.0"), (1, "1.1")):
        path = sharded / "generate.shards" / f"{shard:05}-of-00002" / "manifest.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps(manifest | {"versions": manifest["versions"] | {"vllm": version}}))
    start(sharded, "--stage", "merge")
    versions = json.loads((sharded / "generate" / "manifest.json").read_text())["versions"]
    assert versions == manifest["versions"] | {"vllm": "1.0, 1.1"}


def test_each_shard_has_prompts_of_its_own(sharded: Path) -> None:
    parts = [path.read_text().splitlines() for path in sorted(sharded.glob("generate.shards/*/completions.jsonl"))]
    assert [len(lines) for lines in parts] == [2, 1]
    assert len({json.loads(line)["problem_id"] for lines in parts for line in lines}) == 3


def test_the_next_stage_merges_what_is_there(start: Start, whole: Path, sharded: Path) -> None:
    shutil.rmtree(sharded / "score.shards")
    start(sharded, "--stage", "score")
    assert (sharded / SCORED).read_bytes() == (whole / SCORED).read_bytes()


def test_merging_again_does_nothing(start: Start, sharded: Path) -> None:
    start(sharded, "--stage", "merge")
    stamp = (sharded / SCORED).stat().st_mtime_ns
    start(sharded, "--stage", "merge")
    start(sharded, "--stage", "score")
    assert (sharded / SCORED).stat().st_mtime_ns == stamp


def test_a_shard_that_is_done_is_not_done_again(start: Start, sharded: Path) -> None:
    file = sharded / "generate.shards/00000-of-00002/completions.jsonl"
    stamp = file.stat().st_mtime_ns
    start(sharded, "--stage", "generate", "--num_shards", 2, "--shard", 0)
    assert file.stat().st_mtime_ns == stamp


def test_a_shard_goes_on_where_it_was(start: Start, whole: Path, sharded: Path) -> None:
    folder = sharded / "generate.shards/00000-of-00002"
    (folder / "completions.part.jsonl").write_bytes((folder / "completions.jsonl").read_bytes().splitlines(True)[-1])
    (folder / "completions.jsonl").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "done": False, "outputs": {}}))
    start(sharded, "--stage", "generate", "--num_shards", 2, "--shard", 0)
    start(sharded, "--stage", "merge")
    assert (sharded / COMPLETIONS).read_bytes() == (whole / COMPLETIONS).read_bytes()


def test_a_missing_shard_is_named_with_the_command_that_makes_it(start: Start, sharded: Path) -> None:
    shutil.rmtree(sharded / "generate.shards/00001-of-00002")
    with pytest.raises(ShardError, match=r"00001-of-00002 is missing.*--stage generate --num_shards 2 --shard 1"):
        start(sharded, "--stage", "merge")
    with pytest.raises(ShardError, match="00001-of-00002 is missing"):
        start(sharded, "--stage", "score")


def test_an_unfinished_shard_is_named(start: Start, sharded: Path) -> None:
    file = sharded / "score.shards/00000-of-00002/manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "done": False}))
    with pytest.raises(ShardError, match=r"score.shards: shard 00000-of-00002 is not finished"):
        start(sharded, "--stage", "merge")


def test_a_truncated_shard_is_named(start: Start, sharded: Path) -> None:
    file = sharded / "generate.shards/00000-of-00002/completions.jsonl"
    file.write_bytes(file.read_bytes().splitlines(True)[0])
    with pytest.raises(PipelineError, match=r"00000-of-00002: completions.jsonl is missing or changed"):
        start(sharded, "--stage", "merge")


def test_a_shard_made_with_other_options_is_named(start: Start, sharded: Path) -> None:
    folder = sharded / "generate.shards/00001-of-00002"
    shutil.rmtree(folder)
    start(sharded, "--stage", "generate", "--num_shards", 2, "--shard", 1, "--sampling_seed", 5)
    with pytest.raises(StaleFolderError, match=r"00001-of-00002(.|\n)*sampling_seed: there 5, asked for 0"):
        start(sharded, "--stage", "merge")


def test_a_shard_in_the_place_of_another_is_named(start: Start, sharded: Path) -> None:
    shards = sharded / "generate.shards"
    shutil.rmtree(shards / "00001-of-00002")
    shutil.copytree(shards / "00000-of-00002", shards / "00001-of-00002")
    with pytest.raises(StaleFolderError, match="00001-of-00002"):
        start(sharded, "--stage", "merge")


def test_scores_of_other_completions_are_refused(start: Start, sharded: Path) -> None:
    shutil.rmtree(sharded / "generate.shards")
    for shard in (0, 1):
        start(sharded, "--stage", "generate", "--num_shards", 2, "--shard", shard, "--sampling_seed", 5)
    with pytest.raises(StaleFolderError, match=r"score.shards/00000-of-00002(.|\n)*input completions"):
        start(sharded, "--stage", "merge", "--sampling_seed", 5)


def test_a_problem_in_two_shards_is_named(start: Start, sharded: Path) -> None:
    first, second = sorted(sharded.glob("generate.shards/*/completions.jsonl"))
    forge(second, first.read_bytes().splitlines(True)[:1])
    with pytest.raises(ShardError, match=r"problem 'train/toy/\w+' is in 2 places: shards 00000-of-00002, 00001"):
        start(sharded, "--stage", "merge")


def test_missing_prompts_and_completions_are_named(start: Start, sharded: Path) -> None:
    second = sharded / "generate.shards/00001-of-00002/completions.jsonl"
    [row] = [json.loads(line) for line in second.read_text().splitlines()]
    forge(second, [json.dumps({**row, "completions": row["completions"][:7]}).encode() + b"\n"])
    with pytest.raises(ShardError, match=rf"problem '{row['problem_id']}' has 7 completions; num_completions is 8"):
        start(sharded, "--stage", "merge")
    forge(second, [json.dumps({**row, "problem_id": "other"}).encode() + b"\n"])
    with pytest.raises(ShardError, match=r"have 1 missing, such as 'train/toy/\w+' and 1 unknown, such as 'other'"):
        start(sharded, "--stage", "merge")


def test_prompts_that_are_left_out_for_their_length_are_not_missed(
    start: Start, toy_problems: Path, tmp_path: Path
) -> None:
    first, *others = map(json.loads, (toy_problems / "train.jsonl").read_text().splitlines())
    rows = [{**first, "prompt": first["prompt"] + " double" * 9}, *others]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--train_problems", tmp_path / "train.jsonl", "--max_prompt_tokens", 8)
    for shard in (0, 1):
        start(tmp_path / "run", *options, "--stage", "generate", "--num_shards", 2, "--shard", shard)
    start(tmp_path / "run", *options, "--stage", "merge")
    merged = [json.loads(line)["problem_id"] for line in (tmp_path / "run" / COMPLETIONS).read_text().splitlines()]
    assert merged == [row["id"] for row in others]


def forge(file: Path, lines: list[bytes]) -> None:
    """Other content, with a manifest to match."""
    from qrpo.files import hash_file

    file.write_bytes(b"".join(lines))
    manifest = json.loads(file.with_name("manifest.json").read_text())
    manifest["outputs"][file.name] = hash_file(file)
    file.with_name("manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([], "is empty"),
        (["0-of-2"], r"0-of-2 is no shard of the stage score, such as 00000-of-00008"),
        (["00000-of-00002", "00001-of-00003"], "into 2 and into 3"),
        (["00001-of-00003"], "shard 00000-of-00003, 00002-of-00003 is missing"),
        (["00000-of-00001", "00004-of-00001"], "00004-of-00001 is no shard"),
    ],
)
def test_folders_that_are_no_whole_division_are_refused(tmp_path: Path, folders: list[str], message: str) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(ShardError, match=message):
        find_shards(tmp_path, "score")


def test_shards_are_found_in_order(tmp_path: Path) -> None:
    for index in (2, 0, 1):
        (tmp_path / str(Shard(index, 3))).mkdir()
    assert find_shards(tmp_path, "score") == [Shard(0, 3), Shard(1, 3), Shard(2, 3)]


def test_more_shards_than_batches_are_refused(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are 3 batches of 1 prompts to deal; give at most --num_shards 3"):
        start(tmp_path / "run", "--stage", "generate", "--num_shards", 4, "--shard", 3)


def test_without_shards_there_is_nothing_to_merge(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no shards to merge"):
        start(tmp_path / "run", "--stage", "merge")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num_shards", 2], "say which of them by --shard"),
        (["--num_shards", 2, "--shard", 2, "--stage", "score"], r"shard is 2; with num_shards=2 it is 0 to 1"),
        (["--shard", -1], "shard is -1"),
        (["--num_shards", 2, "--shard", 1], "stage all is not done in shards; give --stage generate or score"),
        (["--num_shards", 2, "--shard", 1, "--stage", "train"], "stage train is not done in shards"),
        (["--num_shards", 0], "num_shards is 0"),
    ],
)
def test_shards_that_cannot_be_are_refused(start: Start, tmp_path: Path, options: list[object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        start(tmp_path / "run", *options)


def test_one_shard_is_the_whole(start: Start, whole: Path, tmp_path: Path) -> None:
    start(tmp_path / "run", "--stage", "generate", "--num_shards", 1, "--shard", 0)
    assert (tmp_path / "run" / COMPLETIONS).read_bytes() == (whole / COMPLETIONS).read_bytes()
