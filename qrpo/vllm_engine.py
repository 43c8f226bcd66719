"""An engine of vLLM as a process: a line of JSON on stdin is a request, one on stdout its answer; ends with stdin.

It imports the standard library and vLLM, so that it runs in vLLM's own environment: the versions of transformers that
vLLM wants and those that training wants can exclude each other.

    > {"options": {... of vllm.LLM}, "sampling": {... of vllm.SamplingParams}}
    < {"completions": []}                               once it has started
    > {"prompts": [[1, 5], [1, 6]]}
    < {"completions": [[[7, 0], [8]], [[9], [0]]]}      token ids; or {"error": "..."}, and it ends
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams


def main() -> int:
    """Serves requests until there are no more."""
    # The names of this folder's other files are not to be found by what vLLM imports.
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    # What libraries print goes to stderr.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        try:
            _serve(answers)
        except Exception as error:  # noqa: BLE001  # told to the parent, which raises it
            traceback.print_exc()
            _answer(answers, error=f"{type(error).__name__}: {error}")
            return 1
    return 0


def _serve(answers: TextIO) -> None:
    from vllm import LLM, SamplingParams

    first = json.loads(sys.stdin.readline())
    engine, parameters = LLM(**first["options"]), SamplingParams(**first["sampling"])
    _answer(answers, completions=[])
    for line in sys.stdin:
        prompts = json.loads(line)["prompts"]
        _answer(answers, completions=_sample(engine, parameters, prompts) if prompts else [])


def _sample(engine: LLM, parameters: SamplingParams, prompts: list[list[int]]) -> list[list[list[int]]]:
    """For each prompt the token ids of its completions, as sampled."""
    outputs = engine.generate([{"prompt_token_ids": ids} for ids in prompts], parameters, use_tqdm=False)
    return [[list(item.token_ids) for item in sorted(out.outputs, key=lambda item: item.index)] for out in outputs]


def _answer(answers: TextIO, **content: object) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
