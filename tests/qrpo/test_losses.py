"""The losses: values by hand, invariance, and their optima for policies that can be written down."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qrpo.losses import Distance, distance_named, dpo_loss, profiled, qrpo_loss, rebel_loss, residual, simpo_loss
from qrpo.quantiles import quantile_among
from qrpo.targets import Atoms, Clip, TargetRule, Ties
from qrpo.transforms import TRANSFORMS, Transform, transform_named

NAMED = {name: transform_named(name, 3.3 if name == "power" else None) for name in TRANSFORMS}


def test_residual_loss_and_gradient_by_hand() -> None:
    """Beta = 0.5, log-ratios -3 - (-2) = -1 and -1 - (-3) = 2, targets 1 and 1.

    Residuals: 0.5 (1 - (-1)) = 1 and 0.5 (1 - 2) = -0.5; squares 1 and 0.25;
    gradients by log pi: -2 * 0.5 * 1 = -1 and -2 * 0.5 * (-0.5) = 0.5.
    """
    logps = torch.tensor([-3.0, -1.0], requires_grad=True)
    ref_logps, target = torch.tensor([-2.0, -3.0]), torch.tensor([1.0, 1.0])
    left = residual(logps, ref_logps, target, beta=0.5)
    assert left.tolist() == [1.0, -0.5]
    loss = qrpo_loss(left)
    assert loss.tolist() == [1.0, 0.25]
    loss.sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == [-1.0, 0.5]


def test_rows_may_have_their_own_beta() -> None:
    zeros = torch.zeros(2)
    assert residual(zeros, zeros, torch.ones(2), beta=torch.tensor([0.5, 2.0])).tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("distance", "values", "slopes"),
    [
        ("mse", [0.0, 0.01, 0.04, 0.25], [0.0, -0.2, 0.4, 1.0]),
        ("mae", [0.0, 0.1, 0.2, 0.5], [0.0, -1.0, 1.0, 1.0]),
        # delta 0.2: the square up to there; beyond, 2 * 0.2 * 0.5 - 0.04 = 0.16, with the slope at 0.2, which is 0.4
        ("huber", [0.0, 0.01, 0.04, 0.16], [0.0, -0.2, 0.4, 0.4]),
    ],
)
def test_distances_by_hand(distance: Distance, values: list[float], slopes: list[float]) -> None:
    left = torch.tensor([0.0, -0.1, 0.2, 0.5], dtype=torch.float64, requires_grad=True)
    loss = qrpo_loss(left, distance=distance, delta=0.2)
    assert loss.tolist() == pytest.approx(values)
    loss.sum().backward()
    assert left.grad is not None
    assert left.grad.tolist() == pytest.approx(slopes)


def test_an_unknown_distance_is_refused() -> None:
    assert distance_named("huber") == "huber"
    with pytest.raises(ValueError, match="mse, mae, huber"):
        distance_named("l2")


def test_equals_the_papers_expression() -> None:
    """(q - beta log Z - beta log-ratio)^2 with q = 0.75, beta = 0.1, log-ratio 0.5.

    beta log Z = 1 + 0.1 log 0.1 + 0.1 log(1 - e^-10) = 0.7697369506, so (0.75 - 0.7697369506 - 0.05)^2 =
    (-0.0697369506)^2 = 0.0048632423.
    """
    target = targets_of([0.75], [0.0, 0.5, 0.75, 1.0], NAMED["identity"], beta=0.1)
    loss = qrpo_loss(residual(torch.tensor([-9.5]), torch.tensor([-10.0]), target, beta=0.1))
    assert loss.item() == pytest.approx(0.0048632423, abs=1e-8)


def test_dpo_by_hand() -> None:
    """Beta = 0.5, log-ratios 1 and -1: -log sigmoid(0.5 * 2) = log(1 + e^-1) = 0.3132617."""
    loss = dpo_loss(torch.tensor([1.0]), torch.tensor([-1.0]), beta=0.5)
    assert loss.tolist() == pytest.approx([0.3132617], abs=1e-7)


def test_rebel_by_hand() -> None:
    """Rewards 0.8 and 0.2, beta = 0.3, log-ratios 1 and -0.5: (0.6 / 0.3 - 1.5)^2 = 0.25."""
    loss = rebel_loss(torch.tensor([1.0]), torch.tensor([-0.5]), torch.tensor([0.6]), beta=0.3)
    assert loss.tolist() == pytest.approx([0.25])


def test_simpo_by_hand() -> None:
    """Means -1 and -1.5 per token, beta = 2, margin 0.5: 2 * (0.5 - 0.5) = 0, so log 2."""
    loss = simpo_loss(torch.tensor([-1.0]), torch.tensor([-1.5]), beta=2.0, margin=0.5)
    assert loss.tolist() == pytest.approx([math.log(2)])


def test_profiled_residuals_by_hand() -> None:
    """Prompt 0 has rows 0, 1 and 3 with u = residual / beta = 2, 2 and -1, prompt 1 row 2 alone.

    c = (1 * 1 * 2 + 2 * 1 * 2 + 1 * 4 * (-1)) / (1 + 2 + 4) = 2/7, so beta (u - c) = 12/7, 12/7 and -18/7.
    """
    beta, weight = torch.tensor([1.0, 1.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 1.0, 1.0])
    left = profiled(torch.tensor([2.0, 2.0, 5.0, -2.0]), prompt=torch.tensor([0, 0, 1, 0]), beta=beta, weight=weight)
    assert left.tolist() == pytest.approx([12 / 7, 12 / 7, 0, -18 / 7], abs=1e-6)


def test_rows_without_weight_do_not_break_profiled_residuals() -> None:
    left = profiled(torch.ones(2), prompt=torch.zeros(2).long(), beta=torch.ones(2), weight=torch.zeros(2))
    assert left.isfinite().all()


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.floats(-9, 9)), min_size=1, max_size=9),
    shifts=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    beta=st.floats(0.01, 10),
)
def test_profiled_squares_are_those_of_all_pairs_and_no_log_z_changes_them(
    rows: list[tuple[int, float]], shifts: list[float], beta: float
) -> None:
    prompt = torch.tensor([index for index, _ in rows]).unique(return_inverse=True)[1]
    left = torch.tensor([value for _, value in rows], dtype=torch.float64)
    same = {"prompt": prompt, "beta": torch.full_like(left, beta), "weight": torch.ones_like(left)}
    found = profiled(left, **same)
    for index in set(prompt.tolist()):
        mine = left[prompt == index]
        pairs = (mine[:, None] - mine[None, :]).square().sum().item() / 2
        assert found[prompt == index].square().sum().item() == pytest.approx(pairs / len(mine), abs=1e-6)
    shifted = profiled(left + beta * torch.tensor(shifts, dtype=torch.float64)[prompt], **same)
    assert shifted.tolist() == pytest.approx(found.tolist(), abs=1e-6)


def test_two_rows_of_a_prompt_are_rebels_pair_with_quantiles_as_rewards() -> None:
    """0.5 (beta ((q_c - q_r) / beta - (chosen - rejected)))^2, whatever log Z is."""
    logratio, target, beta = torch.tensor([0.3, -1.2]), torch.tensor([0.9, 0.2]) / 0.4 - 17.0, torch.full((2,), 0.4)
    left = residual(logratio, torch.zeros(2), target, beta=beta)
    left = profiled(left, prompt=torch.zeros(2).long(), beta=beta, weight=torch.ones(2))
    rebel = rebel_loss(logratio[:1], logratio[1:], torch.tensor([0.7]), beta=0.4)
    assert left.square().sum().item() == pytest.approx(0.5 * 0.4**2 * rebel.item(), abs=1e-5)


def targets_of(
    rewards: list[float],
    refs: list[float],
    transform: Transform,
    *,
    beta: float,
    ties: Ties = "le",
    clip: Clip | None = None,
) -> Tensor:
    found = [quantile_among(reward, refs) for reward in rewards]
    ones = np.ones(len(rewards))
    atoms = Atoms(
        value=np.array([quantile.value for quantile in found]),
        tie_width=np.array([quantile.tie_width for quantile in found]),
        num_refs=ones * len(refs),
        scale=ones,
        draw=ones * 0.4,
    )
    rule = TargetRule(transform=transform, ties=ties, clip=clip or Clip())
    return torch.from_numpy(rule.targets(atoms, ones * beta))


def loss_and_gradient(
    rewards: list[float], logps: list[float], transform: Transform, ties: Ties
) -> tuple[Tensor, Tensor]:
    target = targets_of(rewards, rewards, transform, beta=0.1, ties=ties, clip=Clip(low=-3.0))
    current = torch.tensor(logps, dtype=torch.float64, requires_grad=True)
    loss = qrpo_loss(residual(current, torch.full_like(current, -5.0), target, beta=0.1))
    (gradient,) = torch.autograd.grad(loss.sum(), current)
    return loss.detach(), gradient


MONOTONE: list[Callable[[float], float]] = [math.exp, math.atan, lambda r: 100 * r - 7, lambda r: r**3, lambda r: r / 9]


@pytest.mark.parametrize("ties", ["le", "exact", "random"])
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
@given(
    rows=st.lists(st.tuples(st.integers(-5, 5).map(float), st.floats(-20, 0)), min_size=1, max_size=12),
    monotone=st.sampled_from(MONOTONE),
)
def test_monotone_maps_of_rewards_change_neither_loss_nor_gradient(
    name: str, ties: Ties, rows: list[tuple[float, float]], monotone: Callable[[float], float]
) -> None:
    rewards, logps = [reward for reward, _ in rows], [logp for _, logp in rows]
    mapped = [monotone(reward) for reward in rewards]
    loss, gradient = loss_and_gradient(rewards, logps, NAMED[name], ties)
    loss_mapped, gradient_mapped = loss_and_gradient(mapped, logps, NAMED[name], ties)
    assert torch.equal(loss, loss_mapped)
    assert torch.equal(gradient, gradient_mapped)


@pytest.mark.parametrize("ties", ["le", "lt"])
def test_minimiser_of_profiled_residuals_is_the_optimum_where_rewards_tie(ties: Ties) -> None:
    """Most rewards are 0. The transform's log Z is wrong by far there, and its minimiser is not the optimum."""
    beta, rewards = 0.2, [0.0] * 12 + [0.25] * 3 + [0.5] * 2 + [1.0] * 3
    target = targets_of(rewards, rewards, NAMED["identity"], beta=beta, ties=ties)
    ref = torch.full((len(rewards),), -math.log(len(rewards)), dtype=torch.float64)
    optimum = (ref + target).log_softmax(0)  # pi* = pi_ref exp(f(q) / beta) / Z, with the Z that there is
    assert abs((ref + target).logsumexp(0)) > 0.3

    def divergence(profile: bool) -> float:
        logits = ref.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([logits], lr=1, max_iter=300, history_size=20, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            left = residual(logits.log_softmax(0), ref, target, beta=beta)
            ones = torch.ones_like(left)
            if profile:
                left = profiled(left, prompt=ones.long() - 1, beta=beta * ones, weight=ones)
            loss = qrpo_loss(left).mean()
            loss.backward()
            return loss

        optimiser.step(closure)
        policy = logits.detach().log_softmax(0)
        return float((policy.exp() * (policy - optimum)).sum())

    assert divergence(profile=True) < 1e-6
    assert divergence(profile=False) > 1e-2


@pytest.mark.parametrize("distance", ["mse", "huber"])
@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_minimiser_over_all_distributions_is_the_closed_form_optimum(
    name: str, beta: float, distance: Distance
) -> None:
    """pi* = pi_ref exp(R / beta) / Z on 2000 outcomes with equally probable rewards, R normalised for each atom."""
    if "icdf" in name:
        beta *= 3  # its rewards have no bounds
    size = 2000
    generator = torch.Generator().manual_seed(0)
    rewards = torch.randperm(size, generator=generator).double()
    target = targets_of(rewards.tolist(), rewards.tolist(), NAMED[name], beta=beta, ties="exact")
    ref = torch.full((size,), -math.log(size), dtype=torch.float64)
    optimum = (ref + target).log_softmax(0)

    logits = ref.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([logits], lr=1, max_iter=300, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        left = residual(logits.log_softmax(0), ref, target, beta=beta)
        loss = qrpo_loss(left, distance=distance).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    policy = logits.detach().log_softmax(0)
    assert closure().item() < 1e-5
    assert (policy.exp() * (policy - optimum)).sum().item() < 1e-4
    assert (ref.exp() * (ref - optimum)).sum().item() > 1e-2  # it had some way to go
