"""How one request to one server can fail, short of an error of the caller's. None of these leaves the client.

RequestFailure
├── LostFailure       the connection failed, the answer broke off, or the server is about to end
├── BusyFailure       429: there is no room now
├── UnknownFailure    404: problems are not there (any more)
├── ConflictFailure   409: the idempotency key is another request's
├── OversizedFailure  413: more than is taken at once
└── ProblemFailure    422: one of the problems sent is of no use
"""

from __future__ import annotations

from collections.abc import Sequence


class RequestFailure(Exception):  # noqa: N818  # what the caller sees are errors, these are on the way to them
    """Base of all of these."""


class LostFailure(RequestFailure):
    """The server could not be reached, or is no longer there.

    Attributes:
        was_sent: whether the server may have begun to work.
    """

    def __init__(self, message: str, *, was_sent: bool) -> None:
        self.was_sent = was_sent
        super().__init__(message)


class BusyFailure(RequestFailure):
    """The server has no room now.

    Attributes:
        retry_after_s: when to come again.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class UnknownFailure(RequestFailure):
    """The server does not hold some problems.

    Attributes:
        keys: theirs.
    """

    def __init__(self, message: str, keys: Sequence[str]) -> None:
        self.keys = list(keys)
        super().__init__(message)


class ConflictFailure(RequestFailure):
    """The idempotency key was used for another request."""


class OversizedFailure(RequestFailure):
    """The request is larger than the server takes."""


class ProblemFailure(RequestFailure):
    """A problem is of no use.

    Attributes:
        field: the part that is at fault.
    """

    def __init__(self, message: str, field: str) -> None:
        self.field = field
        super().__init__(message)
