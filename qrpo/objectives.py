"""What is minimised: QRPO, and the baselines it is compared with, over the log-probabilities of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

from torch import Tensor

from qrpo.encoding import RowForm
from qrpo.losses import Distance, dpo_loss, profiled, qrpo_loss, rebel_loss, residual, simpo_loss
from qrpo.pairwise import PairForm
from qrpo.pointwise import PointwiseForm

Algorithm = Literal["qrpo", "dpo", "rebel", "simpo", "sft"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


class Scores(NamedTuple):
    """What the models say of a batch's completions, [B, S]: S of each row."""

    logps: Tensor
    """Sums over tokens, nats."""
    ref_logps: Tensor | None
    """None: the objective has no use for a reference."""
    tokens: Tensor

    @property
    def logratio(self) -> Tensor:
        """log(pi / pi_ref), nats, [B, S]."""
        assert self.ref_logps is not None
        return self.logps - self.ref_logps


class Objective(Protocol):
    """A loss, and the rows it is over."""

    @property
    def form(self) -> RowForm:
        """What rows are."""

    @property
    def uses_reference(self) -> bool:
        """Whether log-probabilities of the reference are needed."""

    def losses(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:
        """One for each row, [B]."""

    def statistics(self, scores: Scores, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of this objective alone, by a name of `qrpo.metrics.COLUMNS`, [B, S]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qrpo:
    """See `qrpo.losses.qrpo_loss`."""

    distance: Distance
    delta: float
    profiles_log_z: bool = False
    """See `qrpo.losses.profiled`."""
    form = PointwiseForm()
    uses_reference = True

    def losses(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Objective`."""
        return qrpo_loss(self._residual(scores, batch)[:, 0], distance=self.distance, delta=self.delta)

    def statistics(self, scores: Scores, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Objective`."""
        named = {name: batch[name][:, None] for name in ("target", "quantile", "tie_width")}
        return {**named, "residual": self._residual(scores, batch)}

    def _residual(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:
        assert scores.ref_logps is not None
        left = residual(scores.logps[:, 0], scores.ref_logps[:, 0], batch["target"], beta=batch["beta"])
        if self.profiles_log_z:
            left = profiled(left, prompt=batch["prompt"], beta=batch["beta"], weight=batch["weight"])
        return left[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sft:
    """Mean negative log-probability of a completion's tokens: fine-tuning on the solutions that are given."""

    form = PointwiseForm()
    uses_reference = False

    def losses(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002  # as the protocol says
        """See `Objective`."""
        return (-scores.logps / scores.tokens)[:, 0]

    def statistics(self, scores: Scores, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002  # as above
        """See `Objective`."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dpo:
    """See `qrpo.losses.dpo_loss`."""

    beta: float
    form = PairForm()
    uses_reference = True

    def losses(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002  # as above
        """See `Objective`."""
        chosen, rejected = scores.logratio.unbind(1)
        return dpo_loss(chosen, rejected, beta=self.beta)

    def statistics(self, scores: Scores, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002  # as above
        """See `Objective`."""
        return {"margin": _gap(scores.logratio)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebel:
    """See `qrpo.losses.rebel_loss`."""

    beta: float
    form = PairForm()
    uses_reference = True

    def losses(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Objective`."""
        chosen, rejected = scores.logratio.unbind(1)
        gap = batch["reward"][:, 0] - batch["reward"][:, 1]
        return rebel_loss(chosen, rejected, gap, beta=self.beta)

    def statistics(self, scores: Scores, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002  # as above
        """See `Objective`."""
        return {"margin": _gap(scores.logratio)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimPo:
    """See `qrpo.losses.simpo_loss`."""

    beta: float
    margin: float
    form = PairForm()
    uses_reference = False

    def losses(self, scores: Scores, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002  # as above
        """See `Objective`."""
        chosen, rejected = (scores.logps / scores.tokens).unbind(1)
        return simpo_loss(chosen, rejected, beta=self.beta, margin=self.margin)

    def statistics(self, scores: Scores, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002  # as above
        """See `Objective`."""
        return {"margin": _gap(scores.logps / scores.tokens)}


def _gap(values: Tensor) -> Tensor:
    """Chosen minus rejected, for both, [B, 2]."""
    return (values[:, :1] - values[:, 1:]).expand(-1, 2)
