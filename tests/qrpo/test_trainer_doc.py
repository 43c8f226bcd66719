"""The example of docs/trainer.md runs, and its tables are true."""

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qrpo.objectives import ALGORITHMS
from qrpo.trainer import QRPOTrainer
from qrpo.trainer_config import QRPOConfig

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "trainer.md").read_text(encoding="utf-8")
VALUES = {
    "prompt": "a b",
    "completion": "c",
    "chosen": "c",
    "rejected": "d",
    "reward": 1.0,
    "ref_rewards": [0.0, 1.0],
    "chosen_reward": 1.0,
    "rejected_reward": 0.0,
    "ref_logps": -1.5,
    "weight": 2.0,
    "beta": 0.3,
    "truncated": True,
}


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [re.split(r" (?<!\\)\| ?", line.removeprefix("| ")) for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


FORMATS = {names(row[0])[0]: (names(row[1]), names(row[2])) for row in table("Data sets")}


def test_the_example_prints_what_it_says(model_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(model_dir).rename(tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block, {})
    assert printed.getvalue().splitlines()[-1:] == re.findall(r"^# (.*)$", block, re.MULTILINE)
    assert (tmp_path / "my-model-QRPO" / "model.safetensors").is_file()


def test_every_algorithm_has_a_row() -> None:
    assert FORMATS.keys() == set(ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_row_as_the_table_says_is_trained_on(make_trainer: Callable[..., QRPOTrainer], algorithm: str) -> None:
    needed, besides = FORMATS[algorithm]
    for columns in (needed, needed + besides):
        trainer = make_trainer([{name: VALUES[name] for name in columns}], algorithm=algorithm, max_steps=1)
        trainer.train()
        assert trainer.state.global_step == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_row_without_a_column_of_the_table_is_refused(
    make_trainer: Callable[..., QRPOTrainer], algorithm: str
) -> None:
    needed, _ = FORMATS[algorithm]
    for missing in needed:
        with pytest.raises(ValueError, match=f"no .*{missing}"):
            make_trainer([{name: VALUES[name] for name in needed if name != missing}], algorithm=algorithm)


def test_what_is_to_be_watched_is_logged(
    make_trainer: Callable[..., QRPOTrainer], rows: Callable[..., list[dict[str, Any]]]
) -> None:
    trainer = make_trainer(rows(), max_steps=2, pass_reward=2.0)
    trainer.train()
    logged = {name for line in trainer.state.log_history for name in line}
    watched = {name for row in table("What to watch") for name in names(row[0])}
    assert watched - logged == {"margin", "accuracy"}  # of pairs


def test_options_that_the_page_names_have_the_defaults_it_says() -> None:
    config = QRPOConfig(output_dir="x")
    assert (config.collapse_nats, config.drop_all_equal) == (5.0, True)
