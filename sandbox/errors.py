"""Errors of the sandbox.

A program that fails is a verdict. An exception means that the caller or the host is at fault:

    SandboxError
    ├── InfrastructureError   the host failed a submission, after retries (verdict IE)
    │   └── UnreachableError  no server could be reached for too long
    ├── RefusedError          a server does not take what a client sends
    │   ├── TokenRefusedError         no token, or a wrong one
    │   ├── IncompatibleServerError   it speaks another version of the API, or something else altogether
    │   ├── OversizedError            one submission or problem is larger than a whole request may be
    │   └── LimitsRefusedError        limits above the server's
    ├── UnsupportedHostError  a required guard cannot be had on this machine
    ├── UnsupportedLanguageError  programs in a language cannot run here
    ├── ProblemError          a problem's tests, prelude or entry point are of no use
    ├── RecordError           a line of a JSONL file is not what it should be
    └── ClosedError           the sandbox, or the client, was closed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class SandboxError(Exception):
    """Base of all errors of this package."""


class InfrastructureError(SandboxError):
    """The host failed, not the program. Retried before it is raised; never a reward."""


class UnreachableError(InfrastructureError):
    """No server could be reached for longer than the client's patience.

    It is an InfrastructureError, as it too says nothing about a program: who is ready for the one is for the other.

    Attributes:
        failures: what went wrong last, by the server's URL; empty where no server is known.
    """

    def __init__(self, message: str, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        super().__init__(message)


class RefusedError(SandboxError):
    """A server does not take what a client sends, and would not the next time.

    Attributes:
        server: its URL.
    """

    def __init__(self, server: str, reason: str) -> None:
        self.server = server
        super().__init__(f"{server}: {reason}")


class TokenRefusedError(RefusedError):
    """The client has no token for the server, or a wrong one."""


class IncompatibleServerError(RefusedError):
    """The server speaks another version of the API, or is no server of this package."""


class OversizedError(RefusedError):
    """One submission, or one problem, is larger than a whole request to the server may be."""


class LimitsRefusedError(RefusedError):
    """A program was to have more than the server gives any."""


class UnsupportedHostError(SandboxError):
    """A required guard is missing on this machine; the message names the remedy.

    Attributes:
        broken: guards that were tried and do not hold, and what is wrong with each.
        held: guards that were tried and hold.
    """

    def __init__(self, message: str, broken: Mapping[str, str] | None = None, held: Sequence[str] = ()) -> None:
        self.broken = dict(broken or {})
        self.held = tuple(held)
        super().__init__(message)


class UnsupportedLanguageError(SandboxError):
    """The runtime cannot run programs in a language; the message says what is missing."""


class ProblemError(SandboxError):
    """A problem cannot judge any program: its code does not compile, say, or nothing in its tests asserts anything.

    Attributes:
        problem_id: the problem. field: name of its field, or "" where more than one has a part in it.
        reason: what is wrong.
    """

    def __init__(self, problem_id: str, field: str, reason: str) -> None:
        self.problem_id = problem_id
        self.field = field
        self.reason = reason
        super().__init__(f"problem {problem_id!r}: {field + ': ' if field else ''}{reason}")


class RecordError(SandboxError):
    """A line of a file is malformed.

    Attributes:
        path: the file. line: 1-based. field: dotted name of the field, or "" for the whole line.
    """

    def __init__(self, path: str, line: int, field: str, reason: str) -> None:
        self.path = path
        self.line = line
        self.field = field
        super().__init__(f"{path}:{line}: {field + ': ' if field else ''}{reason}")


class ClosedError(SandboxError):
    """The sandbox, or the client of a server, was used after it was closed."""
