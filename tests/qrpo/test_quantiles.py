"""Quantiles, transforms, partition functions, targets."""

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qrpo.quantiles import TRANSFORMS, Clip, Identity, Log, Quantile, all_equal, quantile_among, targets

BETAS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0]
NO_CLIP = Clip()

rewards = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("reward", "refs", "value", "tie_width"),
    [
        (0.5, [0.0, 0.5, 0.5, 1.0], 3 / 4, 2 / 4),  # 0, .5 and .5 are not above it; two are equal
        (1.0, [0.0, 0.5, 0.5, 1.0], 1.0, 1 / 4),
        (0.2, [0.0, 0.5], 1 / 2, 0.0),  # not among its references
        (-1.0, [0.0, 0.5], 0.0, 0.0),
        (0.0, [0.0, 0.0, 0.0], 1.0, 1.0),  # all fail
        (7.0, [7.0], 1.0, 1.0),
    ],
)
def test_quantile_counts_ties_as_below(reward: float, refs: list[float], value: float, tie_width: float) -> None:
    assert quantile_among(reward, refs) == Quantile(value, tie_width)


@given(refs=rewards, reward=st.integers(-5, 5).map(float))
def test_quantile_and_tie_width_survive_every_monotone_map(refs: list[float], reward: float) -> None:
    quantile = quantile_among(reward, refs)
    for monotone in (math.exp, math.atan, lambda r: 3 * r - 2, lambda r: r**3):
        assert quantile_among(monotone(reward), [monotone(ref) for ref in refs]) == quantile


@given(refs=rewards)
def test_a_completion_among_its_references_has_at_least_one_over_n(refs: list[float]) -> None:
    for reward in refs:
        value, tie_width = quantile_among(reward, refs)
        assert 1 / len(refs) <= tie_width <= value <= 1


@pytest.mark.parametrize(("reward", "refs"), [(0.0, []), (math.nan, [0.0]), (0.0, [0.0, math.inf])])
def test_rewards_without_an_order_are_refused(reward: float, refs: list[float]) -> None:
    with pytest.raises(ValueError, match="reward"):
        quantile_among(reward, refs)


def test_all_equal() -> None:
    assert all_equal([0.0, 0.0])
    assert all_equal([0.5])
    assert not all_equal([0.0, 0.0, 0.1])


def quadrature_log_z(name: str, beta: float) -> float:
    """The log of the integral over (0, 1) of exp(f(t) / beta) dt, in 40 digits; splits where the mass lies."""
    f = {"identity": lambda t: t, "log": mpmath.log}[name]
    with mpmath.workdps(40):
        b = mpmath.mpf(beta)
        knots = sorted({mpmath.mpf(0), *(max(mpmath.mpf(0), 1 - k * b) for k in (1, 5, 20, 80)), mpmath.mpf(1)})
        # scaled by the largest value, f(1) / beta, so that nothing depends on the range of the exponent
        integral = mpmath.quad(lambda t: mpmath.exp((f(t) - f(mpmath.mpf(1))) / b) if t else mpmath.mpf(0), knots)
        return float(mpmath.log(integral) + f(mpmath.mpf(1)) / b)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_log_z_agrees_with_quadrature(name: str, beta: float) -> None:
    assert TRANSFORMS[name].log_z(beta) == pytest.approx(quadrature_log_z(name, beta), rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_log_z_never_overflows(name: str) -> None:
    assert all(math.isfinite(TRANSFORMS[name].log_z(10.0**exponent)) for exponent in range(-300, 301, 10))


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_log_z_refuses_a_beta_that_is_not_positive(name: str, beta: float) -> None:
    with pytest.raises(ValueError, match="beta"):
        TRANSFORMS[name].log_z(beta)


def test_targets_by_hand() -> None:
    """Beta = 1/2: log Z = log((e^2 - 1) / 2) = log 3.19453 = 1.161440; targets 2q - log Z.

    Log: Z = 0.5 / 1.5, so log Z = -log 3; targets 2 log q + log 3.
    """
    q, n = torch.tensor([0.25, 0.5, 1.0]), torch.tensor([4.0, 4.0, 4.0])
    identity = targets(q, n, transform=Identity(), beta=0.5, clip=NO_CLIP)
    torch.testing.assert_close(identity, torch.tensor([-0.661440, -0.161440, 0.838560]), atol=1e-6, rtol=0)
    log = targets(q, n, transform=Log(), beta=0.5, clip=NO_CLIP)
    torch.testing.assert_close(log, torch.tensor([-1.673976, -0.287682, 1.098612]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [2, 3, 4, 16, 64])
def test_log_transform_at_beta_one_over_n_minus_one_is_best_of_n(n: int) -> None:
    q = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    target = targets(q, torch.full_like(q, 1000), transform=Log(), beta=1 / (n - 1), clip=NO_CLIP)
    # the density of the largest of n uniform variables
    torch.testing.assert_close(target.exp(), n * q ** (n - 1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("beta", [0.03, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_exponentials_of_targets_average_to_one_over_uniform_quantiles(name: str, beta: float) -> None:
    q = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    target = targets(q, torch.full_like(q, 1e9), transform=TRANSFORMS[name], beta=beta, clip=NO_CLIP)
    assert target.exp().mean().item() == pytest.approx(1, abs=1e-6)


def test_log_counts_a_quantile_of_zero_as_one_over_n() -> None:
    f = Log().apply(torch.tensor([0.0, 0.0, 0.5]), torch.tensor([4.0, 20.0, 4.0]))
    torch.testing.assert_close(f, torch.tensor([1 / 4, 1 / 20, 1 / 2]).log())


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (Clip(low=-0.5), [-0.5, -0.161440, 0.838560]),
        (Clip(high=0.1), [-0.661440, -0.161440, 0.1]),
        (Clip(low=-0.2, high=0.2), [-0.2, -0.161440, 0.2]),
    ],
)
def test_targets_are_clipped(clip: Clip, expected: list[float]) -> None:
    q, n = torch.tensor([0.25, 0.5, 1.0]), torch.tensor([4.0, 4.0, 4.0])
    clipped = targets(q, n, transform=Identity(), beta=0.5, clip=clip)
    torch.testing.assert_close(clipped, torch.tensor(expected), atol=1e-6, rtol=0)


def test_an_empty_clip_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="low is above high"):
        Clip(low=1.0, high=0.0)
