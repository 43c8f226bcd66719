"""Names of what a submission ends with, and of what a request is refused for, as metrics and page have them."""

from __future__ import annotations

from typing import Final

from sandbox.errors import SandboxError
from sandbox.server.work import Outcome
from sandbox.verdict import Verdict
from sandbox.wire import RowError

OUTCOMES: Final = (*(verdict.value for verdict in Verdict), "problem", "unsupported_language", "closed")
"""Verdicts, and kinds of errors that are not the host's; a host that failed is IE."""
REFUSALS: Final = {413: "too_large", 429: "overloaded", 503: "draining"}
"""By status of the answer."""


def outcome_of(done: Outcome | SandboxError) -> str:
    """Its name, one of OUTCOMES."""
    if isinstance(done, SandboxError):
        kind = RowError.from_error(done).kind
        return Verdict.IE.value if kind == "infrastructure" else kind
    return done.verdict.value
