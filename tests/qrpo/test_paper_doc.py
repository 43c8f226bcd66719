"""docs/paper.md: its commands are taken, and the configuration is the paper's."""

import re
import shlex
from pathlib import Path

import pytest

from qrpo.config import parse
from qrpo.objectives import ALGORITHMS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
VALUES = {"beta": "0.01", "rate": "3e-7", "run": "runs/x"}


def commands() -> list[str]:
    """The arguments of each command, with values for the shell's variables."""
    found = re.findall(r"^ *(?:python )?-m qrpo\.train_code (.*)$", TEXT, re.MULTILINE)
    return [re.sub(r"\$(\w+)", lambda name: VALUES[name[1]], line) for line in found]


def options_of_the_grid() -> list[str]:
    """The options of each row, with a value for the letter."""
    section = TEXT.partition("## The grid\n")[2].partition("\n## ")[0]
    found = re.findall(r"`(--[^`]+)` \|$", section, re.MULTILINE)
    return [re.sub(r" [BRN]\b", " 1", options) for options in found]


def test_there_are_commands_and_a_grid_of_all_the_papers_losses() -> None:
    assert len(commands()) == 9
    rows = options_of_the_grid()
    assert len(rows) == 8
    assert {row.split()[1] for row in rows if row.startswith("--algorithm")} == set(ALGORITHMS) - {"sft"}


@pytest.mark.parametrize("arguments", commands() + [f"--config leetcode_paper {row}" for row in options_of_the_grid()])
def test_a_command_is_taken(arguments: str) -> None:
    assert parse(shlex.split(arguments)).train.seed == (42 if "leetcode_paper_sft" in arguments else 27)


def test_the_fine_tuned_model_is_made_of_the_same_problems_and_evaluated_alike() -> None:
    one, other = (parse(["--config", name]) for name in ("leetcode_paper", "leetcode_paper_sft"))
    alone = {"eval_checkpoints", "num_completions", "batch_completions"}
    for stage in ("score", "evaluate"):
        options = [config.stage_options(stage) for config in (one, other)]
        differing = {name for name in options[0] | options[1] if options[0].get(name) != options[1].get(name)}
        assert differing <= alone
    assert other.train.learning_rate == 5e-7
    assert other.train.per_device_train_batch_size * other.train.gradient_accumulation_steps == 128
    assert 3 * (2563 // 128) == 60


def test_a_step_is_128_pairs_of_256_sequences() -> None:
    """Ten pairs of 2563 problems make the paper's 200 steps of an epoch."""
    for options, size in (([], 256), (shlex.split("--algorithm dpo --gradient_accumulation_steps 32"), 128)):
        train = parse(["--config", "leetcode_paper", *options]).train
        assert train.per_device_train_batch_size * train.gradient_accumulation_steps == size
    assert 2563 * 10 // 128 == 200


@pytest.mark.parametrize("page", ["paper.md", "trainer.md"])
def test_links_lead_somewhere(page: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "docs"
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", (folder / page).read_text(encoding="utf-8")):
        assert (folder / link).exists(), link
