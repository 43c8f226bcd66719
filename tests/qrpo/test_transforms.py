"""Transforms: their partition functions and densities against quadrature in 40 digits."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrpo.transforms import TRANSFORMS, Array, NormalIcdf, Power, Transform, transform_named

BETAS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0]
BOUNDED: dict[str, tuple[Transform, Callable[[Any], Any]]] = {
    "identity": (transform_named("identity"), lambda t: t),
    "log": (transform_named("log"), mpmath.log),
    "sqrt": (transform_named("sqrt"), mpmath.sqrt),
    "square": (transform_named("square"), lambda t: t**2),
    "power 7": (transform_named("power", 7.0), lambda t: t**7),
    "power 0.1": (transform_named("power", 0.1), lambda t: t ** mpmath.mpf(0.1)),
}
"""Those whose values lie in (-inf, f(1)], and f for mpmath."""
ALL: dict[str, Transform] = {name: transform for name, (transform, _) in BOUNDED.items()} | {
    "normal_icdf": NormalIcdf(),
    "shifted normal_icdf": NormalIcdf(mean=-0.7, std=2.0),
    "scaled_normal_icdf": transform_named("scaled_normal_icdf"),
}
INTERVALS = [(0.0, 1.0), (0.0, 0.05), (0.05, 0.1), (0.3, 0.9), (0.45, 0.5), (0.95, 1.0), (0.999, 1.0)]


def array(*values: float) -> Array:
    return np.array(values, dtype=np.float64)


def log_mean_by_quadrature(f: Callable[[Any], Any], low: float, high: float, beta: float) -> float:
    """The log of the mean over (low, high) of exp(f(t) / beta), scaled by its largest value; splits towards the top."""
    with mpmath.workdps(40):
        a, b, width = mpmath.mpf(low), mpmath.mpf(high), mpmath.mpf(high) - mpmath.mpf(low)
        knots = sorted({a, b, *(b - width * mpmath.mpf(2) ** -k for k in range(1, 18))})
        scaled = lambda t: mpmath.exp((f(t) - f(b)) / mpmath.mpf(beta)) if t else mpmath.mpf(0)
        return float(mpmath.log(mpmath.quad(scaled, knots) / width) + f(b) / mpmath.mpf(beta))


def log_density_of_normal(low: float, high: float, shift: float) -> float:
    """The log of the mean over (low, high) of the density of Phi^-1 tilted by exp(shift z), by its definition."""
    with mpmath.workdps(60):
        ends = [-mpmath.inf if t == 0 else mpmath.inf if t == 1 else _icdf(t) for t in (low, high)]
        a, b = (end - mpmath.mpf(shift) for end in ends)
        between = mpmath.ncdf(b) - mpmath.ncdf(a) if a < 0 else mpmath.ncdf(-a) - mpmath.ncdf(-b)
        return float(mpmath.log(between / (mpmath.mpf(high) - mpmath.mpf(low))))


def _icdf(t: float) -> Any:
    return mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(t) - 1)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", BOUNDED)
def test_log_z_and_log_density_agree_with_quadrature(name: str, beta: float) -> None:
    transform, f = BOUNDED[name]
    log_z = transform.log_z(array(beta), array(1.0))
    assert log_z[0] == pytest.approx(log_mean_by_quadrature(f, 0.0, 1.0, beta), rel=1e-13, abs=1e-11)
    for low, high in INTERVALS:
        density = transform.log_density(array(low), array(high), array(beta), array(1.0))
        expected = log_mean_by_quadrature(f, low, high, beta)
        assert (density + log_z)[0] == pytest.approx(expected, rel=1e-12, abs=1e-10), (low, high)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.7, 2.0)])
def test_the_normal_transform_agrees_with_normal_distribution_functions(mean: float, std: float, beta: float) -> None:
    transform = NormalIcdf(mean=mean, std=std)
    log_z = transform.log_z(array(beta), array(1.0))
    assert log_z[0] == pytest.approx(mean / beta + std**2 / (2 * beta**2), rel=1e-15)
    for low, high in INTERVALS:
        density = transform.log_density(array(low), array(high), array(beta), array(1.0))
        expected = log_density_of_normal(low, high, std / beta)
        assert density[0] == pytest.approx(expected, rel=1e-12, abs=1e-10), (low, high)


@pytest.mark.parametrize("beta", BETAS)
def test_the_normal_log_z_agrees_with_quadrature(beta: float) -> None:
    """Of exp(z / beta) times the normal density, around its peak at 1 / beta, whose width is 1."""
    with mpmath.workdps(40):
        peak = 1 / mpmath.mpf(beta)
        log_density = lambda z: z * peak - z**2 / 2 - mpmath.log(2 * mpmath.pi) / 2 - peak**2 / 2
        expected = mpmath.log(mpmath.quad(lambda z: mpmath.exp(log_density(z)), [peak - 20, peak, peak + 20]))
        expected += peak**2 / 2
    assert NormalIcdf().log_z(array(beta), array(1.0))[0] == pytest.approx(float(expected), rel=1e-14)


@pytest.mark.parametrize(
    ("name", "mean"),
    [("identity", 1 / 2), ("log", -1), ("sqrt", 2 / 3), ("square", 1 / 3), ("power 7", 1 / 8), ("normal_icdf", 0)],
)
def test_with_a_large_beta_log_z_is_the_mean_reward_over_beta(name: str, mean: float) -> None:
    """Where terms that nearly cancel would leave nothing right of it: at 1e8, 1 - e^(-1/beta) has eight digits."""
    beta = 1e8
    assert beta * ALL[name].log_z(array(beta), array(1.0))[0] == pytest.approx(mean, abs=1e-7)


@pytest.mark.parametrize("beta", BETAS)
def test_the_scaled_transform_is_the_normal_one_with_the_rows_own_width(beta: float) -> None:
    for scale in (0.3, 1.0, 4.0):
        ours, theirs = transform_named("scaled_normal_icdf"), NormalIcdf(std=scale)
        rows = array(0.2), array(0.5), array(beta), array(scale)
        assert ours.log_z(rows[2], rows[3]) == pytest.approx(theirs.log_z(rows[2], rows[3]), rel=1e-14)
        assert ours.log_density(*rows) == pytest.approx(theirs.log_density(*rows), rel=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_sqrt_and_square_have_the_closed_forms_of_the_paper(beta: float) -> None:
    """Z = 2 b (b + (1 - b) e^(1/b)) and (sqrt(pi b) / 2) erfi(1 / sqrt b). Source: Table 4."""
    with mpmath.workdps(60):
        b = mpmath.mpf(beta)
        sqrt = mpmath.log(2 * b * (b + (1 - b) * mpmath.exp(1 / b)))
        square = mpmath.log(mpmath.sqrt(mpmath.pi * b) / 2 * mpmath.erfi(1 / mpmath.sqrt(b)))
    assert Power(exponent=0.5).log_z(array(beta), array(1.0))[0] == pytest.approx(float(sqrt), rel=1e-13, abs=1e-12)
    assert Power(exponent=2.0).log_z(array(beta), array(1.0))[0] == pytest.approx(float(square), rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_nothing_overflows(name: str) -> None:
    beta = 10.0 ** np.arange(-8, 9, dtype=np.float64)
    transform, one = ALL[name], np.ones_like(beta)
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(transform.log_z(beta, one)).all()


@pytest.mark.parametrize("name", ALL)
@given(n=st.integers(1, 50), rank=st.integers(0, 50), beta=st.sampled_from(BETAS))
def test_values_and_densities_are_finite_for_every_number_of_references(
    name: str, n: int, rank: int, beta: float
) -> None:
    transform, quantile = ALL[name], min(rank, n) / n
    assert np.isfinite(transform.value(array(quantile), array(n), array(1.0))).all()
    low, high = max(quantile - 1 / n, 0.0), max(quantile, 1 / n)
    assert np.isfinite(transform.log_density(array(low), array(high), array(beta), array(1.0))).all()


@pytest.mark.parametrize("name", ALL)
def test_values_rise_with_the_quantile(name: str) -> None:
    quantile = np.linspace(0.01, 0.99, 99)
    values = ALL[name].value(quantile, np.full_like(quantile, 1e9), np.ones_like(quantile))
    assert (np.diff(values) > 0).all()


def test_where_the_log_and_the_normal_transform_diverge_the_number_of_references_tells_their_value() -> None:
    n = array(4.0, 20.0, 4.0)
    log = transform_named("log").value(array(0.0, 0.0, 0.5), n, array(1.0, 1.0, 1.0))
    assert log == pytest.approx(np.log([1 / 4, 1 / 20, 1 / 2]))
    normal = NormalIcdf().value(array(0.0, 1.0, 0.5), n, array(1.0, 1.0, 1.0))
    assert normal == pytest.approx([-1.1503494, 1.9599640, 0.0], abs=1e-7)  # Phi^-1 of 1/8, 39/40, 1/2


def test_one_reference_says_nothing_under_the_normal_transform() -> None:
    assert NormalIcdf().value(array(0.0, 1.0), array(1.0, 1.0), array(1.0, 1.0)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "power"), [("cube", None), ("power", None), ("identity", 2.0), ("power", 0.0), ("power", float("inf"))]
)
def test_what_names_no_transform_is_refused(name: str, power: float | None) -> None:
    with pytest.raises(ValueError, match=r"transform|exponent"):
        transform_named(name, power)


def test_every_name_makes_one() -> None:
    assert all(transform_named(name, 3.0 if name == "power" else None) for name in TRANSFORMS)
