"""The configurations for LeetCodeDataset, end to end on some of its problems: real prompts, tests and sandbox.

What is in the place of their own: the model, the files, and counts.
"""

import gzip
import io
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from qrpo.config import CONFIGS, parse
from qrpo.display import Display
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.records import ScoredRollout
from qrpo.train_code import run
from rewards import load_problems

CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>\n{{ m['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
PROBLEMS = 3
"""On each side."""


@pytest.fixture(scope="session")
def splits(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Problems with short prompts, and at least 20 tests beyond those that the prompt shows."""
    with gzip.open(data_dir / "LeetCodeDataset-v0.3.0-test.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    rows = [row for row in rows if row["test"].count("assert ") >= 30]
    rows = sorted(rows, key=lambda row: len(row["query"]) + len(row["completion"]))[: 2 * PROBLEMS]
    folder = tmp_path_factory.mktemp("leetcode")
    for name, part in (("train", rows[:PROBLEMS]), ("heldout", rows[PROBLEMS:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return {name: folder / f"{name}.jsonl" for name in ("train", "heldout")}


def save_model(folder: Path, texts: list[str], *, whole: bool) -> str:
    """A tiny model with random weights.

    Args:
        folder: where.
        texts: answers.
        whole: each answer is one token, so that the model writes programs that pass; else tokens are parts of words.
    """
    if whole:
        words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        words.decoder = decoders.Fuse()
        words.add_tokens([AddedToken(text, normalized=False) for text in [*texts, "I do not know. "]])
    else:
        words = Tokenizer(models.BPE())
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        words.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet))
    words.add_special_tokens([AddedToken("<end>", special=True)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<end>", pad_token="<end>", chat_template=CHAT
    )
    set_seed(2)
    end = tokenizer.convert_tokens_to_ids("<end>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=4096,
        eos_token_id=end,
        pad_token_id=end,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def start(splits: dict[str, Path], tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Runs a shipped configuration with other values; returns its folder."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def start(name: str, model: str, **changed: object) -> Path:
        options = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        for side in ("train", "heldout"):
            del options[f"{side}_split"], options[f"{side}_revision"]
            options[f"{side}_problems"] = str(splits[side])
        options |= {"model_name_or_path": model, "bootstrap_samples": 50, "sandbox_workers": 2}
        options |= {"use_cpu": True, "bf16": False, **changed}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(options))
        run(
            parse(["--config", str(path), "--output_dir", str(tmp_path / "run")]),
            Display(Console(file=io.StringIO())),
            Interrupts(),
        )
        return tmp_path / "run"

    yield start
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("name", "steps"), [("leetcode_paper", 4), ("leetcode_1gpu", 2)])
def test_a_run_from_prompts_to_report(
    name: str, steps: int, splits: dict[str, Path], start: Callable[..., Path], tmp_path: Path
) -> None:
    answers = [entry.as_answer() or "" for side in splits.values() for entry in load_problems(side)]
    small = {"max_new_tokens": 3, "num_completions": 20, "per_device_train_batch_size": 4, "save_steps": 2}
    small |= {"gradient_accumulation_steps": 4 if name == "leetcode_paper" else 3}
    folder = start(name, save_model(tmp_path / "model", answers, whole=True), **small)
    scored = read_records(folder / "score" / "scored.jsonl", ScoredRollout)
    assert len(scored) == PROBLEMS
    assert all("This code runs ahead of yours." in rollout.prompt[0].content for rollout in scored)
    assert {"AC", "NO_CODE"} <= {verdict for rollout in scored for verdict in rollout.verdicts}
    log = (folder / "train" / "log.jsonl").read_text().splitlines()
    assert len(log) == steps
    metrics = json.loads((folder / "evaluate" / "metrics.json").read_text())
    assert [item["step"] for item in metrics["heldout"]["selection"]["steps"]] == [0, *range(2, steps + 1, 2)]
    assert (folder / "report" / "report.html").is_file()


def test_fine_tuning_on_the_data_sets_answers(
    splits: dict[str, Path], start: Callable[..., Path], tmp_path: Path
) -> None:
    texts = [part for side in splits.values() for entry in load_problems(side)
             for part in (entry.problem.prompt, entry.problem.prelude, entry.as_answer() or "")]  # fmt: skip
    model = save_model(tmp_path / "model", texts, whole=False)
    small = {"max_new_tokens": 200, "per_device_train_batch_size": 1, "gradient_accumulation_steps": PROBLEMS}
    folder = start("leetcode_paper_sft", model, **small)
    scored = read_records(folder / "score" / "scored.jsonl", ScoredRollout)
    assert [rollout.verdicts for rollout in scored] == [("AC",)] * PROBLEMS
    for rollout, entry in zip(scored, load_problems(splits["train"]), strict=True):
        assert rollout.completions[0].text == entry.as_answer()
        assert (entry.solution or "").strip() not in rollout.prompt[0].content
    assert len((folder / "train" / "log.jsonl").read_text().splitlines()) == 3
    assert (folder / "report" / "report.html").is_file()
