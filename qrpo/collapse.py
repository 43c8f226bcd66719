"""A warning where training takes the probability from completions that pass."""

from __future__ import annotations

import logging
from collections.abc import Mapping

log = logging.getLogger(__name__)


class CollapseWatch:
    """Looks at each line of the log, and warns once.

    All losses of the family collapse alike: what pushes failing completions down takes the passing ones with them,
    since they share most of their tokens, and the probability goes to sequences that nobody sampled.
    """

    def __init__(self, nats: float | None, options: Mapping[str, object]) -> None:
        """Watches.

        Args:
            nats: how much log-probability passing completions may lose to the reference on average, > 0; None: any.
            options: of the trainer, of which the warning names those that would help.
        """
        self._nats = nats
        self._options = options

    def look(self, summary: Mapping[str, float]) -> None:
        """Warns if passing completions have lost too much.

        Args:
            summary: see `qrpo.metrics.summarise`; without `logratio_pass` nothing can be said.
        """
        if self._nats is None or summary.get("logratio_pass", 0.0) >= -self._nats:
            return
        log.warning(
            "collapse: completions that pass have lost %.1f nats of log-probability to the reference on average "
            "(collapse_nats=%g). %s. The model gets worse from here on",
            -summary["logratio_pass"],
            self._nats,
            explanation(summary, self._options),
        )
        self._nats = None


def explanation(summary: Mapping[str, float], options: Mapping[str, object]) -> str:
    """The cause as far as the log tells it, and what helps.

    Args:
        summary: has `logratio_pass`, and `logratio_fail` and `target_pass` where they are known.
        options: `algorithm`, `beta`, `learning_rate`, `ties`, `target_low`, `drop_all_equal`.
    """
    beta, rate = options["beta"], options["learning_rate"]
    gentler = f"a larger beta (now {beta}) or a lower learning_rate (now {rate})"
    target, failed = summary.get("target_pass", 0.0), summary.get("logratio_fail")
    if target < 0:
        return (
            f"Their own targets say so, {target:.1f} nats on average (ties={options['ties']}): ties=le, {gentler} helps"
        )
    if failed is None or failed >= summary["logratio_pass"]:
        return f"No completion was meant to fall so far, so the steps are too large: a lower learning_rate (now {rate})"
    helps = [gentler]
    if options["algorithm"] == "qrpo" and options["target_low"] is None:
        helps.insert(0, "target_low=-3, which bounds how far down failing ones are pushed,")
    if not options["drop_all_equal"]:
        helps.append("drop_all_equal, which leaves out prompts that nothing passes")
    return f"Failing ones were pushed down by {-failed:.1f} nats and took them along: {', or '.join(helps)} helps"
