"""Makes authors_kl.json again: python tests/qrpo/golden/authors_kl.py CHECKOUT; see authors.py.

`compute_kl_divergence_worker` loads two models and a tokenizer; here they are random numbers.
"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from authors import commit_of, load


def kl(theirs: SimpleNamespace, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Their estimates for random models of ten tokens, and the log-probabilities that they are made of."""
    rows, longest = len(sizes), max(map(sum, sizes))

    def mask(lengths: list[int]) -> dict[str, torch.Tensor]:
        ones = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
        return {"input_ids": torch.randint(0, 10, ones.shape), "attention_mask": ones}

    rendered = {1: mask([prompt for prompt, _ in sizes]), 2: mask([sum(size) for size in sizes])}

    class Model:
        def to(self, device: str) -> None: ...

        def eval(self) -> None: ...

        def __call__(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
            return SimpleNamespace(logits=torch.randn(*input_ids.shape, 10))

    fake = ModuleType("transformers")
    tokenizer = SimpleNamespace(apply_chat_template=lambda chats, **_: rendered[len(chats[0])])
    fake.AutoTokenizer = SimpleNamespace(from_pretrained=lambda *_, **__: tokenizer)  # type: ignore[attr-defined]
    fake.AutoModelForCausalLM = SimpleNamespace(from_pretrained=lambda *_, **__: Model())  # type: ignore[attr-defined]
    sys.modules["transformers"] = fake
    torch.Tensor.to = lambda self, *_: self  # type: ignore[assignment,method-assign]  # there is no GPU
    options = dict.fromkeys(("trust_remote_code", "attn_implementation", "torch_dtype"))
    config = SimpleNamespace(
        model_args=SimpleNamespace(**options), compute_kl_config=SimpleNamespace(batch_size=rows, max_seq_length=0)
    )

    class Chunk(list[Any]):
        def select(self, places: range) -> dict[str, list[Any]]:
            return {"chat": list(self)}

    found = theirs.compute_kl_divergence_worker(Chunk([["question", "answer"]] * rows), config, "", "", "chat", "")
    names = ("k1", "k1_per_token", "k3", "k3_per_token", "", "", "logps", "ref_logps")
    return [{name: column[row] for name, column in zip(names, found, strict=True) if name} for row in range(rows)]


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    checkout = Path(sys.argv[1])
    made = {"commit": commit_of(checkout), "kl": kl(load(checkout), [(3, 5), (2, 9), (4, 1)])}
    Path(__file__).with_suffix(".json").write_text(json.dumps(made) + "\n")
