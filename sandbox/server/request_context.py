"""What is known of the HTTP request that is being served, to whatever is called on its way."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestContext:
    """One request's."""

    id: str
    """Names it in the log, in the answer and on the page."""
    submissions: int = 0
    """Queued for it so far."""


current: ContextVar[RequestContext | None] = ContextVar("current", default=None)
"""None: nothing that is done for a request."""


def request_id() -> str:
    """That of the request that is being served; empty outside of one."""
    context = current.get()
    return context.id if context else ""


def count_submissions(number: int) -> None:
    """So many more were queued for the request that is being served."""
    context = current.get()
    if context:
        context.submissions += number
