"""Some steps of one trainer: `training.py` starts this, so that a process's peak of memory is one trainer's.

Prints one JSON object: seconds of each step after the first, how many tokens they have, and the peak in bytes (of the
GPU, where there is one).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import DPOConfig, DPOTrainer

from qrpo.trainer import QRPOConfig, QRPOTrainer

VOCABULARY = 49_152
WORDS = [f"w{number}" for number in range(VOCABULARY - 1)]
Rows = list[tuple[str, str, str]]
"""Prompt, chosen, rejected."""
Arguments = dict[str, Any]
"""Of both trainers."""


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.steps_s: list[float] = []
        self._started_s = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        _finish_gpu()
        self._started_s = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stops it."""
        _finish_gpu()
        self.steps_s.append(time.perf_counter() - self._started_s)


def _finish_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def save_model(folder: Path, layers: int) -> None:
    """Random weights of the shape of SmolLM2-135M, which has 30 layers, and a tokenizer of as many words."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate([*WORDS, "<end>"])}, WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        bos_token_id=VOCABULARY - 1,
        eos_token_id=VOCABULARY - 1,
        pad_token_id=VOCABULARY - 1,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)


def pairs(count: int, prompt_tokens: int, completion_tokens: int) -> Rows:
    """A prompt and two completions each; completions of half to one and a half times the tokens."""
    chance = random.Random(0)

    def text(tokens: int) -> str:
        return " ".join(chance.choices(WORDS, k=tokens))

    def completion() -> str:
        return " " + text(chance.randint(completion_tokens // 2, completion_tokens * 3 // 2))

    return [(text(prompt_tokens), completion(), completion()) for _ in range(count)]


def tokens_of(rows: Rows) -> int:
    """Of both sequences of each pair, with the end that trainers add."""
    return sum(
        2 * len(prompt.split()) + len(chosen.split()) + len(rejected.split()) + 2 for prompt, chosen, rejected in rows
    )


def main() -> None:
    """Trains, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainer", choices=["qrpo", "dpo", "dpo_precomputed"])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--pairs", type=int, required=True, help="in a step")
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--completion-tokens", type=int, required=True)
    parser.add_argument("--checkpointing", action="store_true")
    options = parser.parse_args()
    rows = pairs(options.steps * options.pairs, options.prompt_tokens, options.completion_tokens)
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name), options.layers)
        clock = Clock()
        arguments = _arguments(name, checkpointing=options.checkpointing)
        trainer = TRAINERS[options.trainer](name, arguments, rows, options.pairs, clock)
        trainer.train()
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    tokens = tokens_of(rows[options.pairs :])  # without those of the first step
    print(json.dumps({"steps_s": clock.steps_s[1:], "peak_bytes": peak, "tokens": tokens}))


def _arguments(folder: str, *, checkpointing: bool) -> Arguments:
    return {
        "output_dir": f"{folder}/run",
        "num_train_epochs": 1,
        "learning_rate": 1e-6,
        "max_length": 4096,
        "gradient_checkpointing": checkpointing,
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": "none",
        "train_sampling_strategy": "sequential",
    }


def qrpo(folder: str, arguments: Arguments, rows: Rows, pairs_per_step: int, clock: Clock) -> QRPOTrainer:
    """Both completions of each pair are rows of their own, whose reference log-probabilities are known."""
    pointwise = [
        {
            "prompt": prompt,
            "completion": completion,
            "reward": reward,
            "ref_rewards": [0.0, 0.5, 1.0],
            "ref_logps": -10.8 * len(completion.split()),
        }
        for prompt, *both in rows
        for completion, reward in zip(both, (1.0, 0.0), strict=True)
    ]
    args = QRPOConfig(**arguments, per_device_train_batch_size=2 * pairs_per_step)
    return QRPOTrainer(folder, args=args, train_dataset=Dataset.from_list(pointwise), callbacks=[clock])


def dpo(
    folder: str, arguments: Arguments, rows: Rows, pairs_per_step: int, clock: Clock, *, precompute: bool = False
) -> DPOTrainer:
    """TRL's own."""
    data = Dataset.from_list([{"prompt": p, "chosen": chosen, "rejected": rejected} for p, chosen, rejected in rows])
    more = {"per_device_train_batch_size": pairs_per_step, "precompute_ref_log_probs": precompute}
    args = DPOConfig(**arguments, **more)
    return DPOTrainer(folder, args=args, train_dataset=data, callbacks=[clock])


def dpo_precomputed(folder: str, arguments: Arguments, rows: Rows, pairs_per_step: int, clock: Clock) -> DPOTrainer:
    """TRL's own, which goes over the data with the reference first; that is no part of its steps."""
    return dpo(folder, arguments, rows, pairs_per_step, clock, precompute=True)


TRAINERS: dict[str, Callable[..., QRPOTrainer | DPOTrainer]] = {
    "qrpo": qrpo,
    "dpo": dpo,
    "dpo_precomputed": dpo_precomputed,
}

if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
