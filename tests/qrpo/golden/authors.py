"""Makes authors.json again: python tests/qrpo/golden/authors.py CHECKOUT, a checkout of the paper's authors' code.

It runs the functions named in FUNCTIONS as they stand there (CLAIRE-Labo/quantile-reward-policy-optimization on GitHub,
commit 0d80ee5), taken out of their files by name: the files import what today's libraries do not have. Their `.float()`
is read as `.double()`, so that what differs from ours is not rounding.
"""

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

FUNCTIONS = {
    "src/qrpo/trainers/qrpo.py": ["qrpo_loss", "dpo_loss", "rebel_loss", "simpo_loss"],
    "src/qrpo/generation/prepare_offpolicy_dataset.py": [
        *("replace_chosen_rejected", "pick_pair_offpolicyKrandom"),
        *("process_row_offpolicy2best", "process_row_offpolicy2random"),
    ],
    "src/qrpo/evals/run_online_eval_code.py": ["compute_kl_divergence_worker"],
}
ROWS = 6


def load(checkout: Path) -> SimpleNamespace:
    """Their functions."""
    scope: dict[str, Any] = {
        "torch": torch, "F": torch.nn.functional, "json": json, "Any": Any, "Dict": dict, "tqdm": lambda items: items,
    }  # fmt: skip
    for file, names in FUNCTIONS.items():
        source = (checkout / file).read_text()
        found = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        for name in names:
            lines = source.splitlines()[found[name].lineno - 1 : found[name].end_lineno]
            exec("from __future__ import annotations\n" + textwrap.dedent("\n".join(lines)), scope)
    return SimpleNamespace(**{name: scope[name] for names in FUNCTIONS.values() for name in names})


def commit_of(checkout: Path) -> str:
    """What was run."""
    return subprocess.check_output(["git", "-C", checkout, "rev-parse", "HEAD"], text=True).strip()


def losses(theirs: SimpleNamespace, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Losses of pairs, and their gradients by the policy's log-probabilities."""
    grid = [("qrpo", transform, beta, distance, selector)
            for transform in ("identity", "log", "normal-icdf", "scaled-normal-icdf")
            for beta in (3e-3, 3e-2, 0.1, 0.3, 1.0)
            for distance in ("mse", "mae")
            for selector in ("both", "chosen", "rejected")]  # fmt: skip
    grid += [(name, "", beta, "", "") for name in ("dpo", "rebel", "simpo") for beta in (1e-2, 0.3, 2.0)]
    made = []
    for name, transform, beta, distance, selector in grid:
        given = {key: torch.tensor(value, dtype=torch.float64) for key, value in inputs.items()}
        policy = given["logps"].requires_grad_()
        owner = SimpleNamespace(
            accelerator=SimpleNamespace(device="cpu"), beta=beta, qrpo_transform_type=transform,
            qrpo_loss_type=distance, qrpo_sample_selector=selector, simpo_gamma_beta_ratio=0.5,
            mean_std_ref_rewards=given["ref_rewards"].std(1).mean().item(),
        )  # fmt: skip
        sides = dict(zip(("chosen_logps", "rejected_logps"), policy, strict=True))
        per_token = (policy / given["tokens"]).unbind()
        sides |= dict(zip(("chosen_normalized_logps", "rejected_normalized_logps"), per_token, strict=True))
        extra: dict[str, torch.Tensor] = {}
        arguments = (*given["ref_logps"], *given["rewards"], given["ref_rewards"], extra)
        loss = getattr(theirs, f"{name}_loss")(owner, sides, *arguments)[0]
        (gradient,) = torch.autograd.grad(loss.sum(), policy)
        case = {"loss": name, "transform": transform, "beta": beta, "distance": distance, "selector": selector}
        made.append(case | {"losses": loss.tolist(), "gradient": gradient.tolist()})
    return made


def pairs(theirs: SimpleNamespace, rewards: list[list[float]]) -> dict[str, list[list[list[int]]]]:
    """Places of the chosen and the rejected completion, for each prompt."""

    def run(function: Any, row: list[float], *options: int, **columns: int) -> list[int]:
        filler = {f"ref_completions_{name}": [0] * len(row)
                  for name in ("reward_tokens", "reward_tokens_len", "reward_texts")}  # fmt: skip
        texts = {"content": json.dumps([str(place) for place in range(len(row))])}
        sample = {"ref_completions": [{}, texts], "ref_rewards": row, "chosen": [{}, {}], "rejected": [{}, {}]}
        found = function(sample | filler | columns, *options)
        return [int(found[side][1]["content"]) for side in ("chosen", "rejected")]

    count = len(rewards[0]) // 2
    return {
        "best_worst": [[run(theirs.process_row_offpolicy2best, row)] for row in rewards],
        "first_two": [[run(theirs.process_row_offpolicy2random, row)] for row in rewards],
        "disjoint": [
            [run(theirs.pick_pair_offpolicyKrandom, row, count, pair_idx=place) for place in range(count)]
            for row in rewards
        ],
    }


def main(checkout: Path) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    theirs = load(checkout)

    def rewards(*shape: int) -> list[Any]:
        return (torch.randint(0, 5, shape) / 4).tolist()  # tied, as rewards of programs are

    logps = -20 - 30 * torch.rand(2, ROWS)
    inputs = {
        "logps": logps.tolist(),
        "ref_logps": (logps + 3 * torch.randn(2, ROWS)).tolist(),
        "rewards": rewards(2, ROWS),
        "ref_rewards": rewards(ROWS, 7),
        "tokens": torch.randint(5, 60, (2, ROWS)).tolist(),
    }
    groups = [*rewards(4, 20), [0.5] * 20]
    made = {
        "commit": commit_of(checkout),
        "inputs": inputs,
        "losses": losses(theirs, inputs),
        "pair_rewards": groups,
        "pairs": pairs(theirs, groups),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
