"""A tiny Llama and a word-level tokenizer, made here: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
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
