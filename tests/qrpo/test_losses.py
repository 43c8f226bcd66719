"""The loss: values by hand, invariance, and its optimum for a policy that can be written down."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qrpo.losses import qrpo_loss, residual
from qrpo.quantiles import TRANSFORMS, Clip, Identity, Transform, quantile_among, targets


def test_value_and_gradient_by_hand() -> None:
    """Beta = 0.5, log-ratios -3 - (-2) = -1 and -1 - (-3) = 2, targets 1 and 1.

    Residuals: 0.5 (1 - (-1)) = 1 and 0.5 (1 - 2) = -0.5; losses 1 and 0.25;
    gradients by log pi: -2 * 0.5 * 1 = -1 and -2 * 0.5 * (-0.5) = 0.5.
    """
    logps = torch.tensor([-3.0, -1.0], requires_grad=True)
    ref_logps, target = torch.tensor([-2.0, -3.0]), torch.tensor([1.0, 1.0])
    loss = qrpo_loss(logps, ref_logps, target, beta=0.5)
    assert loss.tolist() == [1.0, 0.25]
    assert residual(logps, ref_logps, target, beta=0.5).tolist() == [1.0, -0.5]
    loss.sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == [-1.0, 0.5]


def test_equals_the_papers_expression() -> None:
    """(q - beta log Z - beta log-ratio)^2 with q = 0.75, beta = 0.1, log-ratio 0.5.

    beta log Z = 1 + 0.1 log 0.1 + 0.1 log(1 - e^-10) = 0.7697369506, so (0.75 - 0.7697369506 - 0.05)^2 =
    (-0.0697369506)^2 = 0.0048632423.
    """
    target = targets(torch.tensor([0.75]), torch.tensor([4.0]), transform=Identity(), beta=0.1, clip=Clip())
    loss = qrpo_loss(torch.tensor([-9.5]), torch.tensor([-10.0]), target, beta=0.1)
    assert loss.item() == pytest.approx(0.0048632423, abs=1e-8)


def loss_and_gradient(rewards: list[float], logps: list[float], transform: Transform) -> tuple[Tensor, Tensor]:
    quantiles = torch.tensor([quantile_among(reward, rewards).value for reward in rewards])
    count = torch.full_like(quantiles, len(rewards))
    target = targets(quantiles, count, transform=transform, beta=0.1, clip=Clip(low=-3.0))
    current = torch.tensor(logps, requires_grad=True)
    loss = qrpo_loss(current, torch.full_like(quantiles, -5.0), target, beta=0.1)
    (gradient,) = torch.autograd.grad(loss.sum(), current)
    return loss.detach(), gradient


MONOTONE: list[Callable[[float], float]] = [math.exp, math.atan, lambda r: 100 * r - 7, lambda r: r**3, lambda r: r / 9]


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
@given(
    rows=st.lists(st.tuples(st.integers(-5, 5).map(float), st.floats(-20, 0)), min_size=1, max_size=12),
    monotone=st.sampled_from(MONOTONE),
)
def test_monotone_maps_of_rewards_change_neither_loss_nor_gradient(
    name: str, rows: list[tuple[float, float]], monotone: Callable[[float], float]
) -> None:
    rewards, logps = [reward for reward, _ in rows], [logp for _, logp in rows]
    mapped = [monotone(reward) for reward in rewards]
    loss, gradient = loss_and_gradient(rewards, logps, TRANSFORMS[name])
    loss_mapped, gradient_mapped = loss_and_gradient(mapped, logps, TRANSFORMS[name])
    assert torch.equal(loss, loss_mapped)
    assert torch.equal(gradient, gradient_mapped)


@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_minimiser_over_all_distributions_is_the_closed_form_optimum(name: str, beta: float) -> None:
    """pi* = pi_ref exp(f(q) / beta) / Z on 2000 outcomes; rewards are a random order of them."""
    size = 2000
    generator = torch.Generator().manual_seed(0)
    ref = (torch.randn(size, generator=generator, dtype=torch.float64) / 4).softmax(0)
    order = torch.randperm(size, generator=generator)
    quantile = torch.empty_like(ref)
    quantile[order] = ref[order].cumsum(0)  # F = P(R_ref <= R) when outcome order[k] has the k-th smallest reward
    many = torch.full_like(ref, 1e9)
    target = targets(quantile, many, transform=TRANSFORMS[name], beta=beta, clip=Clip())
    optimum = (ref.log() + TRANSFORMS[name].apply(quantile, many) / beta).log_softmax(0)

    logits = ref.log().clone().requires_grad_()
    optimiser = torch.optim.LBFGS([logits], lr=1, max_iter=300, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        # weighted by pi_ref, as completions sampled from it would be
        loss = (ref * qrpo_loss(logits.log_softmax(0), ref.log(), target, beta=beta)).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    loss = closure().item()
    policy = logits.detach().log_softmax(0)
    assert loss < 1e-5
    assert (policy.exp() * (policy - optimum)).sum().item() < 1e-4
    assert (ref * (ref.log() - optimum)).sum().item() > 1e-2  # it had some way to go
