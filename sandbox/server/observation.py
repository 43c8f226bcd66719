"""Who is told of every submission and request, and passes it on: to the metrics, the page and the log."""

from __future__ import annotations

import logging

from sandbox.errors import SandboxError
from sandbox.server.logs import log_event
from sandbox.server.metrics import Metrics
from sandbox.server.outcomes import outcome_of
from sandbox.server.recent import MOST_NAME, Recent
from sandbox.server.work import About, Outcome
from sandbox.verdict import Verdict

log = logging.getLogger(__name__)


class Observation:
    """What one server has done. Lives in one event loop.

    Args:
        recent: takes the time from its clock.
        logs_messages: of verdicts, which can quote programs and tests.
    """

    def __init__(self, metrics: Metrics, recent: Recent, *, logs_messages: bool) -> None:
        self.metrics = metrics
        self.recent = recent
        self._logs_messages = logs_messages

    def finished(self, outcome: Outcome | SandboxError, about: About, *, waited_s: float, took_s: float) -> None:
        """A submission is done."""
        name = outcome_of(outcome)
        message = str(outcome) if isinstance(outcome, SandboxError) else outcome.message
        self.metrics.finished(about.kind, name, waited_s, took_s)
        self.recent.finished(name, waited_s, took_s)
        if name != Verdict.AC:
            self.recent.failed(name, message, about)
        if log.isEnabledFor(logging.DEBUG):
            fields = {
                "request": about.request_id,
                "kind": about.kind,
                "outcome": name,
                "client": about.client,
                "problem": about.problem_id and about.problem_id[:MOST_NAME],
                "queue_ms": round(waited_s * 1000, 1),
                "sandbox_ms": round(took_s * 1000, 1),
                "message": message if self._logs_messages else None,
            }
            log_event(log, logging.DEBUG, "submission", fields)

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """An HTTP request is over."""
        self.metrics.answered(method, route, status, took_s)
        self.recent.answered(status)
