"""The authors' own code and ours on the same numbers.

`golden/authors.json` and `golden/authors_kl.json` hold random inputs and what the authors' functions make of them, run
as they are in float64 (commit and names: there and in `golden/authors.py`, which makes them again). Where ours differ,
a test says by how much and why; docs/algorithm.md says so too.
"""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from qrpo.comparison import kl_estimates
from qrpo.data import PointwiseRow
from qrpo.losses import dpo_loss, qrpo_loss, rebel_loss, residual, simpo_loss
from qrpo.pairs import Pairing, paired
from qrpo.quantiles import quantile_among
from qrpo.records import KlRow
from qrpo.targets import Atoms, TargetRule
from qrpo.transforms import transform_named

FOLDER = Path(__file__).with_name("golden")
AUTHORS: dict[str, Any] = json.loads((FOLDER / "authors.json").read_text())
KL: list[dict[str, Any]] = json.loads((FOLDER / "authors_kl.json").read_text())["kl"]
INPUTS: dict[str, Any] = AUTHORS["inputs"]
OURS = {
    "identity": "identity",
    "log": "log",
    "normal-icdf": "normal_icdf",
    "scaled-normal-icdf": "scaled_normal_icdf",
}
QRPO = [case for case in AUTHORS["losses"] if case["loss"] == "qrpo"]
PAIRED = [case for case in AUTHORS["losses"] if case["loss"] != "qrpo"]


def named(case: dict[str, Any]) -> str:
    return " ".join(str(case[name]) for name in ("loss", "transform", "beta", "distance", "selector")).strip()


def given(name: str) -> Tensor:
    return torch.tensor(INPUTS[name], dtype=torch.float64)


def atoms(rewards: list[float]) -> Atoms:
    """Of one side of the pairs."""
    found = [quantile_among(reward, refs) for reward, refs in zip(rewards, INPUTS["ref_rewards"], strict=True)]
    spreads = np.array([statistics.stdev(refs) for refs in INPUTS["ref_rewards"]])
    return Atoms(
        value=np.array([quantile.value for quantile in found]),
        tie_width=np.array([quantile.tie_width for quantile in found]),
        num_refs=np.array([float(len(refs)) for refs in INPUTS["ref_rewards"]]),
        scale=spreads / spreads.mean(),
        draw=np.zeros(len(rewards)),
    )


def targets(rewards: list[float], transform: str, beta: float) -> Tensor:
    """Ours, but with the quantiles that the authors clamp to [1/n, 1 - 1/n] clamped as they do."""
    known = atoms(rewards)
    if "icdf" in transform:
        known = known._replace(value=np.clip(known.value, 1 / known.num_refs, 1 - 1 / known.num_refs))
    rule = TargetRule(transform=transform_named(OURS[transform]))
    return torch.from_numpy(rule.targets(known, np.full(len(rewards), beta)))


@pytest.mark.parametrize("case", QRPO, ids=named)
def test_qrpo_is_that_of_the_authors(case: dict[str, Any]) -> None:
    """Values and gradients to 1e-9 of their size, and a selected side twice theirs, whose mean counts the other as 0.

    Their identity leaves out log(1 - e^(-1/beta)) of log Z, which is added back here and measured below.
    """
    beta, selector = case["beta"], case["selector"]
    theirs_more = math.log(-math.expm1(-1 / beta)) if case["transform"] == "identity" else 0.0
    logps = given("logps").requires_grad_()
    sides = []
    for side, rewards in enumerate(INPUTS["rewards"]):
        target = targets(rewards, case["transform"], beta) + theirs_more
        left = residual(logps[side], given("ref_logps")[side], target, beta=beta)
        sides.append(qrpo_loss(left, distance=case["distance"]))
    taken = {"both": sides, "chosen": sides[:1], "rejected": sides[1:]}[selector]
    loss = torch.stack(taken).mean(0)
    (gradient,) = torch.autograd.grad(loss.sum(), logps)
    half = 1.0 if selector == "both" else 0.5
    torch.testing.assert_close(half * loss, torch.tensor(case["losses"], dtype=torch.float64), rtol=1e-9, atol=1e-12)
    expected = torch.tensor(case["gradient"], dtype=torch.float64)
    torch.testing.assert_close(half * gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("beta", "most"), [(3e-3, 1e-15), (3e-2, 1e-14), (0.1, 5e-6), (0.3, 0.011), (1.0, 0.46)])
def test_the_authors_identity_is_off_by_what_it_leaves_out(beta: float, most: float) -> None:
    """In units of the reward: beta times the log of 1 - e^(-1/beta)."""
    exact = transform_named("identity").log_z(np.array([beta]), np.array([1.0]))[0]
    assert 0 <= beta * (math.log(beta) + 1 / beta - exact) <= most


def test_only_quantiles_of_0_and_1_have_other_rewards_under_the_normal_transforms() -> None:
    """Ours are further out, by half a step of the grid; both kinds are among the numbers above."""
    moved = 0
    for rewards in INPUTS["rewards"]:
        known = atoms(rewards)
        rule, beta = TargetRule(transform=transform_named("normal_icdf")), np.ones(len(rewards))
        ours, theirs = rule.targets(known, beta), targets(rewards, "normal-icdf", 1.0).numpy()
        inside = (known.value > 0) & (known.value < 1)
        assert (ours[inside] == theirs[inside]).all()
        assert (ours[known.value == 1] > theirs[known.value == 1]).all()
        assert (ours[known.value == 0] < theirs[known.value == 0]).all()
        moved += int((~inside).sum())
    assert 0 < moved < 12


@pytest.mark.parametrize("case", PAIRED, ids=named)
def test_losses_of_pairs_are_those_of_the_authors(case: dict[str, Any]) -> None:
    """To 1e-12 of their size: the same sums in float64, in another order."""
    beta = case["beta"]
    logps = given("logps").requires_grad_()
    ratios, rewards = logps - given("ref_logps"), given("rewards")
    means = logps / given("tokens")
    loss = {
        "dpo": lambda: dpo_loss(*ratios, beta=beta),
        "rebel": lambda: rebel_loss(*ratios, rewards[0] - rewards[1], beta=beta),
        "simpo": lambda: simpo_loss(*means, beta=beta, margin=0.5),
    }[case["loss"]]()
    (gradient,) = torch.autograd.grad(loss.sum(), logps)
    for ours, theirs in ((loss, case["losses"]), (gradient, case["gradient"])):
        torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=1e-12, atol=1e-15)


def places(rewards: list[float], pairing: Pairing) -> list[list[int]]:
    rows = [
        PointwiseRow(
            problem_id="p", prompt_ids=[1], completion_ids=[place], reward=reward, ref_rewards=rewards, truncated=False
        )
        for place, reward in enumerate(rewards)
    ]
    return [[row["completion_ids"][0] for row in pair] for pair in paired(rows, pairing, keep_ties=True)]


@pytest.mark.parametrize("number", range(len(AUTHORS["pair_rewards"])))
def test_pairs_are_those_of_the_authors(number: int) -> None:
    """`best_worst` is of their first six completions; where all tie they pair one with itself.

    Their `first_two` alone takes the later of two equal completions as the better one.
    """
    rewards = AUTHORS["pair_rewards"][number]
    theirs = {name: groups[number] for name, groups in AUTHORS["pairs"].items()}
    assert places(rewards, "disjoint") == theirs["disjoint"]
    if len(set(rewards[:6])) > 1:
        assert places(rewards[:6], "best_worst") == theirs["best_worst"]
    else:
        assert theirs["best_worst"] == [[0, 0]]
        assert places(rewards[:6], "best_worst") == [[0, 1]]
    tied = rewards[0] == rewards[1]
    assert places(rewards, "first_two") == [pair[::-1] if tied else pair for pair in theirs["first_two"]]


@pytest.mark.parametrize("row", KL, ids=lambda row: f"{len(row['logps'])} tokens")
def test_kl_estimates_are_those_of_the_authors(row: dict[str, Any]) -> None:
    """Of one completion. Over several, ours per token are sums over all tokens, theirs means of completions' means."""
    ours = kl_estimates([KlRow(problem_id="p", index=0, logps=tuple(row["logps"]), ref_logps=tuple(row["ref_logps"]))])
    assert ours == pytest.approx({name: row[name] for name in ours}, rel=1e-12)


def test_kl_estimates_of_completions_are_averaged_as_the_authors() -> None:
    ours = kl_estimates(
        [KlRow(problem_id="p", index=0, logps=tuple(row["logps"]), ref_logps=tuple(row["ref_logps"])) for row in KL]
    )
    for name in ("k1", "k3"):
        assert ours[name] == pytest.approx(statistics.fmean(row[name] for row in KL), rel=1e-12)
