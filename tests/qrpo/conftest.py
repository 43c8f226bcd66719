"""A tiny Llama and a word-level tokenizer, made here: nothing is downloaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

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
    """Three problems in a file, each solved by one of the toy model's programs."""
    path = tmp_path_factory.mktemp("problems") / "toy.jsonl"
    path.write_text("".join(json.dumps(problem) + "\n" for problem in TOY_PROBLEMS))
    return path
