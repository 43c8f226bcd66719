"""Targets: by hand, how they treat ties, and that they are log-ratios of a distribution."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qrpo.quantiles import quantile_among
from qrpo.targets import TIES, Atoms, Clip, TargetRule, Ties
from qrpo.transforms import TRANSFORMS, Array, Transform, transform_named

BETAS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0]
NAMED: dict[str, Transform] = {name: transform_named(name, 3.3 if name == "power" else None) for name in TRANSFORMS}
rewards = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=30)


def array(*values: float) -> Array:
    return np.array(values, dtype=np.float64)


def atoms_of(completions: list[float], refs: list[float], draws: Array | None = None) -> Atoms:
    """What is known of completions' rewards among those of the references."""
    found = [quantile_among(reward, refs) for reward in completions]
    size = len(completions)
    return Atoms(
        value=array(*(quantile.value for quantile in found)),
        tie_width=array(*(quantile.tie_width for quantile in found)),
        num_refs=np.full(size, float(len(refs))),
        scale=np.full(size, float(np.std(refs))),
        draw=np.zeros(size) if draws is None else draws,
    )


def log_mean_exp(values: Array) -> float:
    """What M of `qrpo.targets.Ties` is the exponential of: 0 where targets are log-ratios of a distribution."""
    top = values.max()
    return float(top + np.log(np.exp(values - top).mean()))


def test_targets_by_hand() -> None:
    """Beta = 1/2: log Z = log((e^2 - 1) / 2) = log 3.19453 = 1.161440; targets 2q - log Z.

    Log: Z = 0.5 / 1.5, so log Z = -log 3; targets 2 log q + log 3.
    """
    atoms = atoms_of([1.0, 2.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    beta = array(0.5, 0.5, 0.5)
    assert TargetRule().targets(atoms, beta) == pytest.approx([-0.661440, -0.161440, 0.838560], abs=1e-6)
    log = TargetRule(transform=transform_named("log")).targets(atoms, beta)
    assert log == pytest.approx([-1.673976, -0.287682, 1.098612], abs=1e-6)


@pytest.mark.parametrize(
    ("ties", "expected"),
    [("le", 0.838560), ("lt", -0.661440), ("mid", 0.088560), ("random", 0.388560), ("exact", 0.175890)],
)
def test_ties_by_hand(ties: Ties, expected: float) -> None:
    """Three of four references pass as the completion does: F = 1, p = 3/4; beta = 1/2, log Z = 1.161440.

    F - p = 1/4, F - p/2 = 5/8, a draw of 0.3: 1 - 0.225 = 0.775. Exact: F + beta log((1 - e^(-p/beta)) / (p/beta)) =
    1 + 0.5 log((1 - e^-1.5) / 1.5) = 1 + 0.5 log 0.517913 = 0.671026; 2 * 0.671026 - 1.161440 = 0.180613.
    """
    expected = {"exact": 2 * (1 + 0.5 * math.log(-math.expm1(-1.5) / 1.5)) - 1.161440}.get(ties, expected)
    atoms = atoms_of([1.0], [0.0, 1.0, 1.0, 1.0], draws=array(0.3))
    assert TargetRule(ties=ties).targets(atoms, array(0.5)) == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(("reward", "quantile"), [(0.5, 0.35), (-1.0, 0.35), (2.0, 0.85)])
def test_a_reward_that_no_reference_has_is_drawn_from_an_atom_of_one_references_width(
    reward: float, quantile: float
) -> None:
    """Two references, 0 and 1; a draw of 0.3: 0.15 below 1/2, the end of the first half, or below 1."""
    atoms = atoms_of([reward], [0.0, 1.0], draws=array(0.3))
    assert TargetRule(ties="random").targets(atoms, array(0.5)) == pytest.approx([2 * quantile - 1.161440], abs=1e-6)


@pytest.mark.parametrize("name", NAMED)
@given(refs=rewards, beta=st.sampled_from(BETAS))
def test_exact_targets_are_log_ratios_of_a_distribution_whatever_ties(
    name: str, refs: list[float], beta: float
) -> None:
    """Sum over atoms of p exp(R / beta) = Z, for every discrete distribution."""
    rule = TargetRule(transform=NAMED[name], ties="exact")
    targets = rule.targets(atoms_of(refs, refs), np.full(len(refs), beta))
    assert log_mean_exp(targets) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", NAMED)
@given(refs=rewards, beta=st.sampled_from(BETAS))
def test_le_is_above_exact_and_lt_below(name: str, refs: list[float], beta: float) -> None:
    atoms, betas = atoms_of(refs, refs), np.full(len(refs), beta)
    exact = TargetRule(transform=NAMED[name], ties="exact").targets(atoms, betas)
    if "icdf" not in name:  # whose value at the upper end is cut
        le = TargetRule(transform=NAMED[name], ties="le").targets(atoms, betas)
        assert (le >= exact - 1e-9).all()
    if "icdf" not in name and name != "log":
        lt = TargetRule(transform=NAMED[name], ties="lt").targets(atoms, betas)
        assert (lt <= exact + 1e-9).all()


@pytest.mark.parametrize("name", NAMED)
@given(refs=rewards.filter(lambda refs: len(refs) > 1), beta=st.sampled_from(BETAS))
def test_left_out_of_its_references_exact_stays_within_log_2_of_a_distribution(
    name: str, refs: list[float], beta: float
) -> None:
    rule = TargetRule(transform=NAMED[name], ties="exact")
    targets = [
        rule.targets(atoms_of([reward], refs[:place] + refs[place + 1 :])._replace(scale=array(1.0)), array(beta))
        for place, reward in enumerate(refs)
    ]
    assert abs(log_mean_exp(np.concatenate(targets))) < math.log(2)


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("ties", ["le", "lt", "mid"])
def test_without_ties_a_grid_much_coarser_than_beta_raises_le_by_minus_log_of_their_product(ties: Ties, n: int) -> None:
    """Identity, n beta << 1: the best of n has nearly all of M. `lt` and `mid` miss the top by a step, or half one."""
    beta, refs = 1e-4, [float(rank) for rank in range(n)]
    targets = TargetRule(ties=ties).targets(atoms_of(refs, refs), np.full(n, beta))
    missed = {"le": 0.0, "lt": 1.0, "mid": 0.5}[ties] / (n * beta)
    assert log_mean_exp(targets) == pytest.approx(-math.log(n * beta) - missed, abs=1e-9)


@pytest.mark.parametrize("name", NAMED)
@given(refs=rewards, beta=st.sampled_from(BETAS), limit=st.floats(-5, 5))
def test_a_floor_raises_the_mean_and_a_ceiling_lowers_it(
    name: str, refs: list[float], beta: float, limit: float
) -> None:
    """`exact`, so that it is 0 without: of exp(target), which is then no density of a distribution."""
    atoms, betas = atoms_of(refs, refs), np.full(len(refs), beta)
    free = TargetRule(transform=NAMED[name], ties="exact").targets(atoms, betas)
    for clip, sign, cut in ((Clip(low=limit), 1, free < limit), (Clip(high=limit), -1, free > limit)):
        clipped = TargetRule(transform=NAMED[name], ties="exact", clip=clip).targets(atoms, betas)
        assert (clipped[~cut] == free[~cut]).all()
        assert (clipped[cut] == limit).all()
        assert sign * log_mean_exp(clipped) >= -1e-9


@pytest.mark.parametrize("name", NAMED)
@given(size=st.integers(1, 30), reward=st.integers(0, 3).map(float), beta=st.sampled_from(BETAS))
def test_where_all_rewards_tie_exact_leaves_the_policy_alone(name: str, size: int, reward: float, beta: float) -> None:
    rule = TargetRule(transform=NAMED[name], ties="exact")
    targets = rule.targets(atoms_of([reward], [reward] * size), array(beta))
    assert targets == pytest.approx([0.0], abs=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_where_all_fail_le_raises_them_by_up_to_minus_log_beta(beta: float) -> None:
    """F = 1: 1 / beta - log Z = -log(beta) - log(1 - e^(-1 / beta))."""
    target = TargetRule().targets(atoms_of([0.0], [0.0] * 20), array(beta))
    assert target == pytest.approx([-math.log(beta) - math.log(-math.expm1(-1 / beta))], abs=1e-9)


@given(refs=rewards, seed=st.integers(0, 10))
def test_random_quantiles_are_uniform(refs: list[float], seed: int) -> None:
    """With one draw for each completion of the reference; identity, so that targets give the quantiles back."""
    assume(len(set(refs)) > 1)
    repeats = 400
    draws = np.random.default_rng(seed).random(len(refs) * repeats)
    atoms = atoms_of(refs * repeats, refs, draws)
    rule, beta = TargetRule(ties="random"), np.ones(len(draws))
    quantiles = np.sort(rule.targets(atoms, beta) + transform_named("identity").log_z(beta, beta))
    # Kolmogorov's distance; the 0.9999 quantile of its distribution is 2.2 / sqrt(N), and strata make it smaller.
    uniform = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    assert np.abs(quantiles - uniform).max() < 2.2 / math.sqrt(len(quantiles))


@pytest.mark.parametrize("refs", [[0.0], [0.0, 1.0], [0.0, 0.0, 1.0, 2.0, 2.0, 2.0]])
@pytest.mark.parametrize("name", NAMED)
def test_random_targets_are_log_ratios_of_a_distribution_on_average_over_draws(name: str, refs: list[float]) -> None:
    """The mean over a grid of draws, at beta = 1; an f that is cut at its ends, as for other ties, would be off."""
    draws = np.repeat((np.arange(40000) + 0.5) / 40000, len(refs))
    known = Atoms(*(np.tile(column, 40000) for column in atoms_of(refs, refs)))
    atoms, ones = known._replace(draw=draws, scale=np.ones(len(draws))), np.ones(len(draws))
    targets = TargetRule(transform=NAMED[name], ties="random").targets(atoms, ones)
    assert log_mean_exp(targets) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("draw", [0.0, 2.0**-48, 1 - 2.0**-48])
def test_random_targets_are_finite_at_the_ends_of_the_draws(name: str, draw: float) -> None:
    for refs in ([0.0], [0.0] * 20, [0.0] * 19 + [1.0]):
        rule = TargetRule(transform=NAMED[name], ties="random")
        assert np.isfinite(rule.targets(atoms_of([0.0, 1.0], refs, array(draw, draw)), array(1e-3, 1e-3))).all()


@pytest.mark.parametrize("name", NAMED)
@given(
    refs=rewards,
    reward=st.integers(-1, 6).map(float),
    draw=st.floats(0, 1, exclude_max=True),
    beta=st.sampled_from(BETAS),
)
def test_targets_are_finite_for_every_number_of_references_and_every_treatment_of_ties(
    name: str, refs: list[float], reward: float, draw: float, beta: float
) -> None:
    atoms = atoms_of([reward], refs, array(draw))
    for ties in TIES:
        target = TargetRule(transform=NAMED[name], ties=ties).targets(atoms, array(beta))
        assert np.isfinite(target).all(), ties


@pytest.mark.parametrize("ties", TIES)
@given(refs=rewards, beta=st.sampled_from(BETAS))
def test_better_rewards_never_have_lower_targets(ties: Ties, refs: list[float], beta: float) -> None:
    ordered = sorted(set(refs))
    draws = np.full(len(ordered), 0.4)
    targets = TargetRule(ties=ties).targets(atoms_of(ordered, refs, draws), np.full(len(ordered), beta))
    assert (np.diff(targets) >= -1e-9).all()


@pytest.mark.parametrize("n", [2, 3, 4, 16, 64])
def test_log_transform_at_beta_one_over_n_minus_one_is_best_of_n(n: int) -> None:
    quantile = np.linspace(0.01, 1, 100)
    one = np.ones_like(quantile)
    atoms = Atoms(value=quantile, tie_width=0 * one, num_refs=1000 * one, scale=one, draw=one)
    target = TargetRule(transform=transform_named("log")).targets(atoms, one / (n - 1))
    # the density of the largest of n uniform variables
    assert np.exp(target) == pytest.approx(n * quantile ** (n - 1), rel=1e-12)


def test_rows_have_their_own_beta() -> None:
    atoms = atoms_of([1.0, 1.0], [0.0, 1.0, 2.0])
    both = TargetRule().targets(atoms, array(0.1, 1.0))
    one = [TargetRule().targets(atoms_of([1.0], [0.0, 1.0, 2.0]), array(beta))[0] for beta in (0.1, 1.0)]
    assert both == pytest.approx(one, rel=1e-15)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (Clip(low=-0.5), [-0.5, -0.161440, 0.838560]),
        (Clip(high=0.1), [-0.661440, -0.161440, 0.1]),
        (Clip(low=-0.2, high=0.2), [-0.2, -0.161440, 0.2]),
    ],
)
def test_targets_are_clipped(clip: Clip, expected: list[float]) -> None:
    atoms = atoms_of([1.0, 2.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert TargetRule(clip=clip).targets(atoms, array(0.5, 0.5, 0.5)) == pytest.approx(expected, abs=1e-6)


def test_an_empty_clip_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="low is above high"):
        Clip(low=1.0, high=0.0)


def test_an_unknown_treatment_of_ties_is_refused() -> None:
    with pytest.raises(ValueError, match="ties must be one of"):
        TargetRule(ties="ge")  # type: ignore[arg-type]


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_a_beta_that_is_not_positive_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match="beta"):
        TargetRule().targets(atoms_of([1.0], [1.0]), array(beta))
