from pathlib import Path

import pytest
import yaml

from qrpo.config import CONFIGS, PipelineConfig, parse, shipped_configs
from qrpo.errors import ConfigError
from qrpo.run_options import STAGES


def config(*argv: str) -> PipelineConfig:
    return parse(["--bf16", "false", *argv])


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_config_loads(name: str) -> None:
    assert parse(["--config", name]).paths.root.parts


def test_there_are_shipped_configs() -> None:
    assert "smollm2_cpu" in shipped_configs()


@pytest.mark.parametrize("name", shipped_configs())
def test_weights_that_are_trained_themselves_are_not_kept_in_bfloat16(name: str) -> None:
    """Of weights of standard deviation 0.02, 200 steps of Adam at the rate 3e-7 change 0.5% in bfloat16."""
    model = parse(["--config", name]).model
    assert model.use_peft or model.dtype in (None, "float32")


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("output_dir: out\nmodel_name_or_path: demo\nbeta: 0.3\nnum_completions: 5\n")
    found = config("--config", str(path), "--beta", "0.2")
    assert (found.train.beta, found.generate.num_completions) == (0.2, 5)
    assert config(f"--config={path}").train.beta == 0.3


@pytest.mark.parametrize("argv", [["--no_such_option", "3"], ["--no_such_option=3"]])
def test_an_unknown_option_is_refused(argv: list[str]) -> None:
    with pytest.raises(ConfigError, match="unknown options in the command line: --no_such_option"):
        config(*argv)


def test_an_unknown_key_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("output_dir: out\nmodel_name_or_path: demo\nbetta: 0.3\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: --betta 0\.3"):
        config("--config", str(path))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--num_completions", "0"], "num_completions is 0"),
        (["--eval_temperature", "0"], "eval_temperature is 0"),
        (["--eval_completions", "4", "--kl_completions", "5"], "kl_completions is 5"),
        (["--eval_completions", "4", "--eval_seeds", "2", "--pass_k", "5"], "pass_k is 5"),
        (["--eval_top_p", "0"], "eval_top_p is 0"),
        (["--eval_seeds", "0"], "eval_seeds is 0"),
        (["--cpu_s", "0"], "cpu_s is 0"),
        (["--total_cpu_s", "-1"], "total_cpu_s is -1"),
        (["--memory_mib", "16"], "memory_mib is 16; it must be at least 32"),
        (["--eval_train_problems", "-1"], "eval_train_problems is -1"),
        (["--eval_train_problems", "0", "--heldout_problems", "null"], "nothing could be evaluated"),
        (["--beta", "-1"], "beta"),
        (["--generator", "answers", "--num_completions", "2", "--algorithm", "sft"], "num_completions is 2.*give 1"),
        (["--generator", "answers", "--num_completions", "1"], "algorithm is 'qrpo'.*give --algorithm sft"),
        (["--num_completions", "4", "--num_refs", "5"], "compared with, and num_refs is 5"),
        (["--num_completions", "1", "--references", "leave_one_out"], "has 0 to be compared with"),
        (["--references", "disjoint", "--completions_per_prompt", "10"], "fewer --completions_per_prompt"),
        (["--pairs_per_prompt", "3"], "pairs_per_prompt is 3.*give --pairing"),
        (["--keep_ties"], "keep_ties is True.*give --pairing"),
        (["--algorithm", "sft", "--selector", "chosen"], "selector is 'chosen'.*give --pairing"),
        (["--target_low", "nan"], "target_low must be a number"),
        (["--learning_rate", "-1"], "learning_rate must be at least 0"),
        (["--per_device_train_batch_size", "0"], "per_device_train_batch_size must be at least 1"),
        (["--distance", "mae"], "log_z is 'profiled', which is of least squares, but distance is 'mae'"),
        (["--train_sampling_strategy", "random"], "compares the rows of a prompt.*'random'.*give group_by_prompt"),
        (["--per_device_train_batch_size", "1"], "per_device_train_batch_size 1; give group_by_prompt and 2 at least"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(*argv)


def test_null_on_the_command_line_is_none_of_what_the_file_says() -> None:
    found = config(
        *("--save_total_limit", "null", "--max_tests=null", "--heldout_problems", "null", "--max_train_problems", "9")
    )
    assert (found.train.save_total_limit, found.data.max_tests, found.data.heldout_problems) == (None, None, None)
    assert (config().train.save_total_limit, found.data.max_train_problems) == (1, 9)
    pairs = ["--config", "leetcode_paper", "--algorithm", "dpo", "--pairing", "null", "--pairs_per_prompt", "null"]
    assert config(*pairs).data.pairing is None
    paper = config("--config", "leetcode_paper", "--train_split", "null", "--train-revision", "null")
    assert (paper.data.train_split, paper.data.train_revision, paper.data.heldout_split) == (None, None, "test")


@pytest.mark.parametrize("argv", [["--beta", "null"], ["--num-completions=null"], ["--learning_rat", "null"]])
def test_null_is_refused_for_options_that_need_a_value(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config(*argv)
    assert "value: 'null'" in capsys.readouterr().err


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- beta\n")
    with pytest.raises(ConfigError, match="mapping"):
        config("--config", str(tmp_path / "c.yaml"))


def test_the_resolved_options_read_back_give_the_same_run(tmp_path: Path) -> None:
    first = config("--beta", "0.07", "--learning_rate", "3e-6", "--use_peft", "--lora_r", "4", "--output_dir", "o")
    path = tmp_path / "resolved.yaml"
    path.write_text(first.to_yaml())
    second = parse(["--config", str(path)])
    assert second.to_yaml() == first.to_yaml()
    assert [second.stage_options(stage) for stage in STAGES] == [first.stage_options(stage) for stage in STAGES]


@pytest.mark.parametrize(
    ("argv", "stages"),
    [
        (["--num_completions", "3"], {"generate"}),
        (["--max_new_tokens", "33"], {"generate", "evaluate"}),
        (["--policy_temperature", "0.5"], {"generate", "train", "evaluate"}),
        (["--which_block", "first"], {"score", "evaluate"}),
        (["--learning_rate", "1e-4"], {"train"}),
        (["--transform", "log"], {"train"}),
        (["--use_peft"], {"train"}),
        (["--cpu_s", "2"], {"score", "evaluate"}),
        (["--total_cpu_s", "20"], {"score", "evaluate"}),
        (["--memory_mib", "512"], {"score", "evaluate"}),
        (["--eval_train_problems", "7"], {"evaluate"}),
        (["--eval_completions", "7"], {"evaluate"}),
        (["--eval_batch_completions", "7"], {"evaluate"}),
        (["--seed", "7"], {"train"}),
        (["--sampling_seed", "7"], {"generate", "evaluate"}),
        (["--sandbox_workers", "3"], set()),
        (["--report_to", "tensorboard"], set()),
        (["--save_steps", "7"], set()),
        (["--output_dir", "elsewhere"], set()),
    ],
)
def test_an_option_counts_for_the_stages_that_depend_on_it(argv: list[str], stages: set[str]) -> None:
    before, after = config(), config(*argv)
    assert {stage for stage in STAGES if before.stage_options(stage) != after.stage_options(stage)} == stages


def test_reporting_is_off_unless_asked_for() -> None:
    assert config().train.report_to in ([], ["none"], "none")


def test_no_key_stands_twice_in_a_shipped_config() -> None:
    for path in CONFIGS.glob("*.yaml"):
        keys = [line.split(":")[0] for line in path.read_text().splitlines() if line and line[0].isalpha()]
        assert sorted(keys) == sorted(yaml.safe_load(path.read_text()))
