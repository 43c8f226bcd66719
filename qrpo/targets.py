"""The log-ratios that QRPO regresses on.

The optimum of KL-regularised reward maximisation satisfies, for every prompt x and completion y,

    log pi*(y|x) / pi_ref(y|x) = R(x, y) / beta - log Z(x),      Z(x) = E_ref exp(R(x, y) / beta).

The reward's quantile q among completions of the reference is uniform on (0, 1) whatever the reward was, as long as
rewards do not tie. With R = f(q), Z is therefore one known number per f and beta (arXiv 2507.08068, Table 4):

    target = f(q) / beta - log Z_f(beta)    nats.

Rewards of programs do tie: many completions fail every test, or pass all. Equal rewards share an atom, an interval
(F - p, F) of quantiles, and the average of exp(target) over the reference is 1, as it must be for log-ratios, only if
q is chosen well. `Ties` says what each choice does to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np

from qrpo.transforms import Array, Identity, Transform

Ties = Literal["le", "lt", "mid", "random", "exact"]
"""Which quantile stands for an atom (F - p, F). M: the mean of exp(target) over the reference, 1 at the optimum.

- `le`: F, as in Algorithm 1 of the paper. M >= 1: all targets are too high, by up to -log(beta) nats, and all the
  more the more completions tie. Raises the probability of everything a little, which keeps training from collapsing.
- `lt`: F - p. M <= 1, the mirror image: all targets are too low. One with `le` for a reward that no reference has.
- `mid`: F - p / 2, the mid-rank. M is close to 1 for large beta and far below for small.
- `random`: uniform in (F - p, F), one draw for each completion. M = 1 on average over the draws.
- `exact`: what makes M exactly 1 for every distribution of rewards: the mean of exp(f / beta) over the atom. It is what
  `random` does on average. Where all rewards tie it is the target to stay at the reference, 0.

All this with a completion among its own references; docs/algorithm.md says what other ones do.
"""
TIES: tuple[Ties, ...] = get_args(Ties)


class Atoms(NamedTuple):
    """What is known of rows' rewards, [B] each."""

    value: Array
    """F = P(R_ref <= reward), in [0, 1]."""
    tie_width: Array
    """p = P(R_ref = reward), in [0, 1]."""
    num_refs: Array
    """References behind the two, n >= 1."""
    scale: Array
    """See `qrpo.transforms.ScaledNormalIcdf`; >= 0."""
    draw: Array
    """Uniform in [0, 1), for `random`."""

    def intervals(self) -> tuple[Array, Array]:
        """Lower and upper ends of the atoms. A reward that no reference has gets the width of one reference, 1/n."""
        step = 1 / self.num_refs
        high = np.maximum(self.value, step)
        return np.maximum(high - np.maximum(self.tie_width, step), 0.0), high


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Limits on targets, nats; None: no limit.

    At small beta most targets are strongly negative (identity, beta = 0.03, q = 0.5: -13 nats), and regression
    spends its effort on making bad completions impossible. A floor of a few nats keeps it from collapsing. The optimum
    is then no longer that of the KL-regularised problem: what was clipped keeps more of its probability.
    """

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"targets cannot be clipped to [{self.low}, {self.high}]: low is above high")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """From rows' rewards to their targets.

    Raises:
        ValueError: there is no such treatment of ties.
    """

    transform: Transform = field(default_factory=Identity)
    ties: Ties = "le"
    clip: Clip = field(default_factory=Clip)

    def __post_init__(self) -> None:
        if self.ties not in TIES:
            raise ValueError(f"ties must be one of {', '.join(TIES)}, got {self.ties!r}")

    def targets(self, atoms: Atoms, beta: Array) -> Array:
        """Log-ratios that the optimal policy has, nats, [B], finite.

        Args:
            beta: KL weights, [B].

        Raises:
            ValueError: a beta is not positive and finite.
        """
        if not (np.isfinite(beta) & (beta > 0)).all():
            raise ValueError(f"beta must be positive and finite, got {beta.tolist()}")
        target = self._unclipped(atoms, beta)
        if self.clip.low is None and self.clip.high is None:
            return target
        return np.clip(target, self.clip.low, self.clip.high)

    def _unclipped(self, atoms: Atoms, beta: Array) -> Array:
        low, high = atoms.intervals()
        num_refs = atoms.num_refs
        match self.ties:
            case "exact":
                return self.transform.log_density(low, high, beta, atoms.scale)
            case "le":
                quantile = atoms.value
            case "lt":
                quantile = atoms.value - atoms.tie_width
            case "mid":
                quantile = atoms.value - atoms.tie_width / 2
            case "random":
                # Not from a grid of references, and never 0 or 1: where f diverges there, nothing of it is to be cut.
                quantile = np.clip(high - atoms.draw * (high - low), 2.0**-50, 1 - 2.0**-50)
                num_refs = np.full_like(num_refs, np.inf)
        value = self.transform.value(np.maximum(quantile, 0.0), num_refs, atoms.scale)
        return value / beta - self.transform.log_z(beta, atoms.scale)
