"""A tiny Llama and a word-level tokenizer, made here: nothing is downloaded."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from qrpo.trainer import QRPOConfig, QRPOTrainer

torch.set_num_threads(1)

WORDS = ["<eos>", "<bos>", "<unk>", "a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Nine words; `<eos>` is id 0 and also pads, as in the models where masking by the pad id goes wrong."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<eos>",
        pad_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        chat_template="<bos>{% for m in messages %} {{ m['content'] }} <eos>{% endfor %} d",
    )


@pytest.fixture
def make_model() -> Callable[..., LlamaForCausalLM]:
    """Makes the same tiny model each time, unless told a seed."""

    def make(seed: int = 0) -> LlamaForCausalLM:
        set_seed(seed)
        config = LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            bos_token_id=1,
            eos_token_id=0,
            pad_token_id=0,
            initializer_range=0.2,
        )
        return LlamaForCausalLM(config)

    return make


@pytest.fixture
def model_dir(make_model: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> str:
    """The tiny model and its tokenizer on disk."""
    folder = tmp_path / "model"
    make_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


# Each of these is one token, so that a model with random weights writes programs of every kind.
PROGRAMS = [
    "```python\ndef f(x):\n    return x + 1\n```\n",
    "```python\ndef f(x):\n    return 2 * x\n```\n",
    "```python\ndef f(x):\n    return x\n```\n",
    "```python\ndef f(x) return\n```\n",
    "Here it is: ",
    "I do not know. ",
]

TOY_PROBLEMS = [
    {"id": f"toy/{name}", "prompt": f"Define f {name}", "tests": [f"assert f({x}) == {y}" for x, y in tests]}
    for name, tests in {
        "successor": [(1, 2), (2, 3), (5, 6), (0, 1)],
        "double": [(1, 2), (2, 4), (5, 10), (0, 0)],
        "identity": [(1, 1), (2, 2), (5, 5), (0, 0)],
    }.items()
]


@pytest.fixture(scope="session")
def code_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model on disk whose tokens are whole programs for the toy problems."""
    words = ["<eos>", "<bos>", "<unk>", "successor", "double", "identity", *PROGRAMS]
    vocabulary = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    vocabulary.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    vocabulary.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary,
        eos_token="<eos>",
        pad_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        chat_template="<bos>{% for m in messages %} {{ m['content'] }} {% endfor %}",
    )
    set_seed(1)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.1,
    )
    folder = tmp_path_factory.mktemp("code model")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.jsonl and heldout.jsonl, three problems each, solved by programs of the toy model."""
    folder = tmp_path_factory.mktemp("problems")
    for split in ("train", "heldout"):
        rows = [{**problem, "id": f"{split}/{problem['id']}"} for problem in TOY_PROBLEMS]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[dict[str, Any]]]:
    """Makes rows: two prompts, completions of different lengths that end in EOS (which is also the pad token)."""

    def make(count: int = 8, **columns: Any) -> list[dict[str, Any]]:
        return [
            {
                "prompt_ids": [1, 3 + k % 2, 4][: 2 + k % 2],
                "completion_ids": [*[3 + k % 6, 4 + k % 5, 5][: 1 + k % 3], 0],
                "reward": float(k // 2 % 4),
                "ref_rewards": [0.0, 1.0, 2.0, 3.0],
                **{name: value[k] for name, value in columns.items()},
            }
            for k in range(count)
        ]

    return make


@pytest.fixture
def make_trainer(
    make_model: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> Callable[..., QRPOTrainer]:
    """Makes a trainer of the tiny model in float32 on the CPU; keywords are options or constructor arguments."""
    arguments_of_trainer = set(inspect.signature(QRPOTrainer.__init__).parameters) - {"self", "args", "train_dataset"}

    def make(data: list[dict[str, Any]], **options: Any) -> QRPOTrainer:
        arguments = {"model": make_model(), "processing_class": tokenizer}
        arguments |= {name: options.pop(name) for name in list(options) if name in arguments_of_trainer}
        defaults = {
            "output_dir": str(tmp_path / "out"),
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            "per_device_train_batch_size": 8,
            "train_sampling_strategy": "sequential",
            "logging_steps": 1,
            "max_steps": 3,
            "learning_rate": 1e-2,
            "save_strategy": "no",
        }
        return QRPOTrainer(args=QRPOConfig(**(defaults | options)), train_dataset=Dataset.from_list(data), **arguments)

    return make


@pytest.fixture(scope="session")
def logps_by_hand() -> Callable[[LlamaForCausalLM, dict[str, Any]], float]:
    """Sums a completion's log-probabilities: one sequence, no padding, plain log_softmax."""

    def logps(model: LlamaForCausalLM, row: dict[str, Any]) -> float:
        prompt, completion = row["prompt_ids"], row["completion_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0].double()
        picked = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(completion)[:, None])
        return picked.sum().item()

    return logps
