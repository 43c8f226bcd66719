"""Errors of the server, each with the status that it is answered with.

ServerError
├── UnauthorizedError      401  no token, or a wrong one
├── UnknownProblemsError   404  keys of problems that are not here (any more)
├── TooSlowError           408  the body did not come in time
├── ConflictError          409  an idempotency key that belongs to another request
├── TooLargeError          413  more than would ever be taken
├── InvalidError           422  a value out of range
├── LimitError             422  limits above the server's
├── OverloadedError        429  no room now
├── ClientGoneError        499  nobody reads the answer
├── HostFailedError        503  the host failed a submission (verdict IE)
└── DrainingError          503  the server is about to end
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ServerError(Exception):
    """Base of all errors of this package; the message goes to the client.

    Attributes:
        status: HTTP status. kind: what clients tell errors apart by.
        retry_after_s: when to come again, s; None where that is of no use.
    """

    status: ClassVar[int]
    kind: ClassVar[str]
    retry_after_s: float | None = None


class UnauthorizedError(ServerError):
    """The request has no token, or a wrong one.

    Args:
        was_given: the latter.
    """

    status = 401
    kind = "unauthorized"

    def __init__(self, *, was_given: bool = False) -> None:
        super().__init__(
            "this token is not the server's, which may have made a new one when it started; its first line says which "
            "file holds it"
            if was_given
            else "a token is needed: send `Authorization: Bearer TOKEN`, or put it into the URL as a password: "
            "http://:TOKEN@HOST:PORT/; the server's first line says which file holds it"
        )


class UnknownProblemsError(ServerError):
    """Submissions name problems that the server does not hold.

    Attributes:
        keys: theirs.
    """

    status = 404
    kind = "unknown_problems"

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)
        super().__init__(
            f"{len(self.keys)} problems are not known here, such as {self.keys[0]!r}; PUT /v1/problems first"
        )


class TooSlowError(ServerError):
    """The body of a request did not come in time."""

    status = 408
    kind = "too_slow"

    def __init__(self, patience_s: float) -> None:
        super().__init__(f"the body did not come within {patience_s:g} s")


class ConflictError(ServerError):
    """An idempotency key belongs to another request."""

    status = 409
    kind = "conflict"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"the Idempotency-Key {key!r} {reason}")


class TooLargeError(ServerError):
    """More than the server would ever take."""

    status = 413
    kind = "too_large"

    def __init__(self, what: str, amount: int, most: int) -> None:
        super().__init__(f"{what}: {amount} is too much, at most {most} are taken; send it in parts")


class InvalidError(ServerError):
    """A value is out of range."""

    status = 422
    kind = "invalid"


class LimitError(ServerError):
    """A limit is above the server's."""

    status = 422
    kind = "limit"

    def __init__(self, name: str, value: float, most: float) -> None:
        super().__init__(f"limits.{name} is {value:g}; this server allows at most {most:g}")


class OverloadedError(ServerError):
    """There is no room now."""

    status = 429
    kind = "overloaded"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"the queue is full; come again in {retry_after_s:.0f} s")


class ClientGoneError(ServerError):
    """The client has hung up; nobody reads this. Source of the status: nginx."""

    status = 499
    kind = "gone"

    def __init__(self) -> None:
        super().__init__("the client has gone")


class HostFailedError(ServerError):
    """The host failed a submission of a request that has one answer for all."""

    status = 503
    kind = "infrastructure"
    retry_after_s = 1.0

    def __init__(self, why: str) -> None:
        super().__init__(f"the host failed, which says nothing about the programs; send the request again: {why}")


class DrainingError(ServerError):
    """The server takes nothing new, for it is about to end."""

    status = 503
    kind = "draining"
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("this server is about to end; go to another one")
