"""Transforms f of quantiles whose partition functions are known, in forms that neither overflow nor cancel.

A quantile among the reference's rewards is uniform on (0, 1), so that for a reward R = f(quantile)

    Z_f(beta) = integral over (0, 1) of exp(f(t) / beta) dt.

Source of the closed forms: arXiv 2507.08068, Table 4. Each is written so that exp(1 / beta), which overflows a double
for beta < 0.0014, is never computed. All arrays are float64 and broadcast against each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array: TypeAlias = NDArray[np.float64]


class Transform(Protocol):
    """A monotone map f of quantiles."""

    def value(self, quantile: Array, num_refs: Array, scale: Array) -> Array:
        """f(q), finite.

        Args:
            quantile: q in [0, 1].
            num_refs: n >= 1 references that q was estimated from; where f diverges, they tell the last value it has.
                Infinity: q was drawn, and is neither 0 nor 1.
            scale: a factor of the row's prompt, >= 0; only `ScaledNormalIcdf` has a use for it.
        """
        ...

    def log_z(self, beta: Array, scale: Array) -> Array:
        """The log of Z_f(beta), nats; beta > 0."""
        ...

    def log_density(self, low: Array, high: Array, beta: Array, scale: Array) -> Array:
        """The log of the mean of exp(f(t) / beta) / Z over t in (low, high), nats; 0 <= low < high <= 1, beta > 0."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """f(t) = t, used in all experiments of the paper."""

    def value(self, quantile: Array, num_refs: Array, scale: Array) -> Array:  # noqa: ARG002  # as the protocol says
        """See `Transform`."""
        return quantile

    def log_z(self, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """Z = beta (e^(1/beta) - 1). Source: paper, Table 4, row 1.

        The paper's Algorithm 1 drops the last term; that is off by 0.46 at beta = 1 and free to keep.
        """
        return 1 / beta + self._log_shrinkage(1 / beta)

    def log_density(self, low: Array, high: Array, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """See `Transform`."""
        return (high - 1) / beta + self._log_shrinkage((high - low) / beta) - self._log_shrinkage(1 / beta)

    @staticmethod
    def _log_shrinkage(width: Array) -> Array:
        """log((1 - e^(-w)) / w): of the mean of e^t over an interval of width w whose upper end is 0."""
        return np.log(-np.expm1(-width) / width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """f(t) = t^p, p > 0: the square root, the square and what lies between and beyond."""

    exponent: float
    """p."""

    def __post_init__(self) -> None:
        if not (self.exponent > 0 and math.isfinite(self.exponent)):
            raise ValueError(f"the exponent of a power must be positive and finite, got {self.exponent!r}")

    def value(self, quantile: Array, num_refs: Array, scale: Array) -> Array:  # noqa: ARG002  # as the protocol says
        """See `Transform`."""
        return quantile**self.exponent

    def log_z(self, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """Z = 1F1(1/p; 1 + 1/p; 1/beta). Source: paper, Table 4, its last row; the others of t^p are cases of it."""
        return self._log_integral(np.ones_like(beta), beta)

    def log_density(self, low: Array, high: Array, beta: Array, scale: Array) -> Array:
        """See `Transform`."""
        upper, lower = self._log_integral(high, beta), self._log_integral(low, beta)
        return upper + np.log1p(-np.exp(lower - upper)) - np.log(high - low) - self.log_z(beta, scale)

    def _log_integral(self, end: Array, beta: Array) -> Array:
        """The log of the integral over (0, end) of exp(t^p / beta) dt.

        end * 1F1(1/p; 1 + 1/p; x), x = end^p / beta, by Kummer's transformation 1F1(a; b; x) = e^x 1F1(b - a; b; -x),
        whose second factor lies in (0, 1]. Source: DLMF 13.2.39.
        """
        x = end**self.exponent / beta
        shrinkage: Array = special.hyp1f1(1.0, 1.0 + 1.0 / self.exponent, -x)
        with np.errstate(divide="ignore"):  # log 0 = -inf is the right answer
            return np.log(end) + x + np.log(shrinkage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """f(t) = log t. With beta = 1 / (N - 1) the optimum is exactly Best-of-N sampling, density N t^(N-1)."""

    def value(self, quantile: Array, num_refs: Array, scale: Array) -> Array:  # noqa: ARG002  # as the protocol says
        """See `Transform`. A quantile below 1/n counts as 1/n, as in the authors' code.

        0 means "worse than each of n references", for which 1/n is the smallest value that n references can tell. A
        completion that is among its own references never has it. Z knows nothing of this.
        """
        return np.log(np.maximum(quantile, 1 / num_refs))

    def log_z(self, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """Z = beta / (beta + 1). Source: paper, Table 4."""
        return -np.log1p(1 / beta)

    def log_density(self, low: Array, high: Array, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """(high^c - low^c) / (high - low), c = 1 + 1 / beta: Z is 1 / c."""
        c = 1 + 1 / beta
        with np.errstate(divide="ignore"):  # low = 0
            ratio: Array = np.exp(c * (np.log(low) - np.log(high)))
        return c * np.log(high) + np.log1p(-ratio) - np.log(high - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalIcdf:
    """f(t) = mean + std Phi^-1(t): rewards become normally distributed, as those of the reference are not bounded."""

    mean: float = 0.0
    std: float = 1.0

    def value(self, quantile: Array, num_refs: Array, scale: Array) -> Array:  # noqa: ARG002  # as the protocol says
        """See `Transform`. Quantiles within half a step of 0 or 1, where f diverges, count as half a step from there.

        With one reference every quantile is 1/2 then, and every reward the mean: a single one says nothing, except
        with ties `random` and `exact`. The authors clamp to [1/n, 1 - 1/n], which is empty for n = 1.
        """
        half = 0.5 / num_refs
        normal: Array = special.ndtri(np.clip(quantile, half, 1 - half))
        return self.mean + self.std * normal

    def log_z(self, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """Z = exp(mean / beta + std^2 / (2 beta^2)). Source: paper, Table 4."""
        return self.mean / beta + 0.5 * (self.std / beta) ** 2

    def log_density(self, low: Array, high: Array, beta: Array, scale: Array) -> Array:  # noqa: ARG002  # as above
        """See `Transform`; the mean cancels."""
        return _log_density_of_normal(low, high, self.std / beta)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledNormalIcdf:
    """f(t) = s Phi^-1(t), s a prompt's own: where its references hardly differ, its rewards do not either.

    s is the standard deviation of the prompt's reference rewards in units of the mean one of all training rows. Where
    it is 0, as with one reference, f is 0 everywhere and the target is to stay at the reference.
    """

    def value(self, quantile: Array, num_refs: Array, scale: Array) -> Array:
        """See `Transform`; ends as in `NormalIcdf`."""
        return scale * NormalIcdf().value(quantile, num_refs, scale)

    def log_z(self, beta: Array, scale: Array) -> Array:
        """Z = exp(s^2 / (2 beta^2)). Source: paper, Table 4."""
        return 0.5 * (scale / beta) ** 2

    def log_density(self, low: Array, high: Array, beta: Array, scale: Array) -> Array:
        """See `Transform`."""
        return _log_density_of_normal(low, high, scale / beta)


def _log_density_of_normal(low: Array, high: Array, shift: Array) -> Array:
    """By exp(s z) phi(z) = exp(s^2 / 2) phi(z - s), s = `shift`: a difference of normal distribution functions."""
    with np.errstate(divide="ignore"):
        lower, upper = special.ndtri(low) - shift, special.ndtri(high) - shift
    # Phi(b) - Phi(a) = Phi(-a) - Phi(-b): on the right of 0 both are close to 1, and would cancel.
    is_right = lower > 0
    small, large = np.where(is_right, -upper, lower), np.where(is_right, -lower, upper)
    log_large: Array = special.log_ndtr(large)
    log_small: Array = special.log_ndtr(small)
    return log_large + np.log1p(-np.exp(log_small - log_large)) - np.log(high - low)


TRANSFORMS = ("identity", "log", "sqrt", "square", "power", "normal_icdf", "scaled_normal_icdf")
"""Names that `transform_named` knows."""


def transform_named(name: str, power: float | None = None) -> Transform:
    """A transform by its name in the configuration.

    Args:
        power: exponent of `power`; None for all others.

    Raises:
        ValueError: there is no such transform, or the exponent is missing, has no meaning or no usable value.
    """
    if (name == "power") != (power is not None):
        raise ValueError(
            f"transform {name!r} with exponent {power!r}: `power` needs an exponent, and only `power` has one"
        )
    match name:
        case "identity":
            return Identity()
        case "log":
            return Log()
        case "sqrt":
            return Power(exponent=0.5)
        case "square":
            return Power(exponent=2.0)
        case "power":
            assert power is not None
            return Power(exponent=power)
        case "normal_icdf":
            return NormalIcdf()
        case "scaled_normal_icdf":
            return ScaledNormalIcdf()
    raise ValueError(f"there is no transform {name!r}; known are {', '.join(TRANSFORMS)}")
