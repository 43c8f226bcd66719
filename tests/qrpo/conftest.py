"""A tiny Llama and a word-level tokenizer, made here: nothing is downloaded."""

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from qrpo.artifacts import open_stage
from qrpo.comparison import compare, length_bias
from qrpo.halves import split_halves
from qrpo.journal import write_records
from qrpo.paths import RunPaths, at_step
from qrpo.records import Completion, ScoredRollout
from qrpo.results import SplitResult, results_json
from qrpo.selection import select
from qrpo.trainer import QRPOConfig, QRPOTrainer
from sandbox import Problem

torch.set_num_threads(1)

SPECIAL = {"eos_token": "<eos>", "pad_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
WORDS = ["<eos>", "<bos>", "<unk>", "a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Nine words; `<eos>` is id 0 and also pads, as in the models where masking by the pad id goes wrong."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        **SPECIAL,
        chat_template="<bos>{% for m in messages %} {{ m['content'] }} <eos>{% endfor %} d",
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[..., LlamaForCausalLM]:
    """Makes the same tiny model each time, unless told a seed."""

    def make(seed: int = 0) -> LlamaForCausalLM:
        return _llama(seed, len(WORDS), hidden_size=32, num_attention_heads=4, initializer_range=0.2)

    return make


@pytest.fixture
def model_dir(make_model: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> str:
    """The tiny model and its tokenizer on disk."""
    folder = tmp_path / "model"
    make_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_model_dir(
    make_model: Callable[..., LlamaForCausalLM],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """As `model_dir`, once for all."""
    folder = tmp_path_factory.mktemp("tiny model")
    make_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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
def make_code_model() -> Callable[..., Path]:
    """Puts a random model into a folder whose tokens are whole programs for the toy problems."""

    def make(folder: Path, seed: int = 1, **options: float) -> Path:
        size = {"hidden_size": 16, "num_attention_heads": 2, "initializer_range": 0.1} | options
        tokenizer = _code_tokenizer()
        _llama(seed, len(tokenizer), **size).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def code_model_dir(make_code_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a model."""
    return make_code_model(tmp_path_factory.mktemp("code model"))


def _code_tokenizer() -> PreTrainedTokenizerFast:
    words = ["<eos>", "<bos>", "<unk>", "successor", "double", "identity", *PROGRAMS]
    vocabulary = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    vocabulary.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    vocabulary.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=vocabulary,
        **SPECIAL,
        chat_template="<bos>{% for m in messages %} {{ m['content'] }} {% endfor %}",
    )


def _llama(seed: int, vocab_size: int, *, hidden_size: int, **options: float) -> LlamaForCausalLM:
    """Of two layers; token 0 ends and pads, 1 begins."""
    set_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=0,
        pad_token_id=0,
        **options,
    )
    return LlamaForCausalLM(config)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeUp:
    """A run that was never run: its model solves problem k at step s by chance with probability `rates[s][k]`."""

    algorithm: str
    rates: dict[int, list[float]]
    """By step, 0 included; one per held-out problem."""
    seed: int = 0
    sampling_seed: int = 0
    beta: float = 0.1
    learning_rate: float = 1e-6
    model: str = "some/model"
    completions: int = 8
    sampling_seeds: int = 2
    temperature: float = 0.6
    total_cpu_s: float | None = 100.0
    num_refs: int | None = None
    pass_k: int = 1
    train: bool = False
    """Whether it was evaluated on training problems too, with as many and the same rates."""
    told_reward: float = 1.0
    """What `metrics.json` says of the mean reward."""
    longer: float = 0.0
    """By how many tokens completions that pass are longer."""


@pytest.fixture(scope="session")
def make_run() -> Callable[[Path, MadeUp], Path]:
    """Writes what the pipeline would leave of a run; no model and no program takes part."""

    def make(path: Path, made: MadeUp) -> Path:
        paths, chance = RunPaths(path), np.random.default_rng(made.seed)
        problems = [
            Problem(id=f"p{place:03}", tests=("assert f()",), meta={"difficulty": ["Easy", "Hard"][place % 2]})
            for place in range(len(made.rates[0]))
        ]
        halves = split_halves(problems)
        assert halves is not None
        last = max(made.rates)
        options = {"algorithm": made.algorithm, "beta": made.beta, "learning_rate": made.learning_rate}
        options |= {"num_refs": made.num_refs}
        with open_stage(paths.stage("train"), stage="train", config={**options, "seed": made.seed}, inputs={}) as stage:
            lines = [
                {
                    "step": step,
                    "loss": 1.0,
                    "logratio_pass": 0.3 * step / last + chance.normal() / 20,
                    "logratio_fail": -1.2 * step / last + chance.normal() / 10,
                }
                for step in range(1, last + 1)
            ]
            paths.training_log.write_text("".join(json.dumps(line) + "\n" for line in lines))
            stage.finish(["log.jsonl"])
        evaluation = {
            "eval_temperature": made.temperature,
            "total_cpu_s": made.total_cpu_s,
            "eval_seeds": made.sampling_seeds,
        }
        shared = {"output_dir": str(path), "model_name_or_path": made.model}
        shared |= {"seed": made.seed, "sampling_seed": made.sampling_seed}
        paths.config.write_text(yaml.safe_dump({**shared, **options, **evaluation}))
        with open_stage(paths.stage("evaluate"), stage="evaluate", config=evaluation, inputs={}) as stage:
            draws = {step: np.random.default_rng(made.sampling_seed) if step == 0 else chance for step in made.rates}
            steps = {step: [_rollout(*item, made, draws[step]) for item in zip(problems, rates, strict=True)]
                     for step, rates in made.rates.items()}  # fmt: skip
            splits = ("heldout", "train") if made.train else ("heldout",)
            for step, rollouts in steps.items():
                when = {0: "before", last: "after"}.get(step, at_step(step))
                for split in splits:
                    write_records(paths.evaluated(when, split), rollouts)
            kl = {step: {"k1": step / last, "k3": step / last} for step in steps if step}
            selection = select(
                steps, kl, halves, seeds=made.sampling_seeds, pass_k=made.pass_k, resamplings=50, seed=made.seed
            )
            halves.write(paths.halves)
            result = SplitResult(
                problems=len(problems),
                completions=made.completions,
                metrics={"pass_fraction": compare([[0.0]], [[made.told_reward]], resamplings=10, seed=0)},
                kl=kl[last],
                verdicts={},
                length_bias={"after": length_bias(steps[last])},
                selection=selection,
            )
            paths.metrics.write_text(results_json(dict.fromkeys(splits, result)))
            stage.finish([])
        return path

    return make


def _rollout(problem: Problem, rate: float, made: MadeUp, chance: np.random.Generator) -> ScoredRollout:
    count = made.completions * made.sampling_seeds
    passed = chance.random(count) < rate
    rewards = np.where(passed, 1.0, chance.integers(0, 5, count) / 5 * rate)
    lengths = np.maximum(1, chance.normal(80, 20, count) + made.longer * rewards).astype(int)
    return ScoredRollout(
        problem_id=problem.id,
        prompt=(),
        prompt_ids=(1,),
        completions=tuple(
            Completion(text="", token_ids=tuple(range(length)), finish_reason="stop") for length in lengths.tolist()
        ),
        rewards=tuple(rewards.tolist()),
        verdicts=tuple("AC" if good else ["WA", "RE", "CE", "TLE"][chance.integers(4)] for good in passed),
    )


@pytest.fixture(scope="session")
def made_up() -> type[MadeUp]:
    """The class; tests cannot import from here."""
    return MadeUp
