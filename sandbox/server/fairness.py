"""Whose turn it is: every client gets the same time of the slots, whatever it asks for and in how many requests."""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, Protocol, TypeVar


class Waiting(Protocol):
    """A request with submissions that wait."""

    @property
    def client(self) -> str:
        """Whose it is."""

    @property
    def is_ready(self) -> bool:
        """Whether one of them may run now."""

    @property
    def is_over(self) -> bool:
        """Whether none of them waits any more."""


Request = TypeVar("Request", bound=Waiting)


class Turn(NamedTuple, Generic[Request]):
    """One submission's."""

    request: Request
    charged_s: float
    """Time of a slot that its client has been charged, until it is known what it took."""


_FIRST_GUESS_S = 0.01
_WEIGHT = 0.2
"""Of the newest submission in a client's mean."""


class _Client(Generic[Request]):
    """What one client waits for, and what it has had."""

    def __init__(self, used_s: float) -> None:
        self.requests: deque[Request] = deque()
        self.used_s = used_s
        self.mean_s = _FIRST_GUESS_S
        self.running = 0


class Turns(Generic[Request]):
    """Requests by client. The client with the least time of the slots is next, and its requests take turns.

    What a submission will take is not known before: it is charged the client's mean, and the difference when it is
    done. A client that comes, or comes back, starts level with the one that has had least: time is not saved up.
    Source: start-time fair queueing (Goyal, Vin and Cheng, 1996). Not thread-safe.
    """

    def __init__(self) -> None:
        self._clients: dict[str, _Client[Request]] = {}

    def add(self, request: Request) -> None:
        """A request comes."""
        client = self._clients.get(request.client)
        if client is None:
            level_s = min((other.used_s for other in self._clients.values()), default=0.0)
            client = self._clients[request.client] = _Client(level_s)
        client.requests.append(request)

    def next(self) -> Turn[Request] | None:
        """Whose submission runs next; None where none may."""
        for name, client in sorted(self._clients.items(), key=lambda item: item[1].used_s):
            for _ in range(len(client.requests)):
                request = client.requests.popleft()
                if request.is_over:
                    continue
                client.requests.append(request)
                if request.is_ready:
                    client.used_s += client.mean_s
                    client.running += 1
                    return Turn(request, client.mean_s)
            self._forget_idle(name)
        return None

    def done(self, turn: Turn[Request], spent_s: float) -> None:
        """A submission has left its slot after so much time there."""
        name = turn.request.client
        client = self._clients[name]
        client.used_s += spent_s - turn.charged_s
        client.mean_s += _WEIGHT * (spent_s - client.mean_s)
        client.running -= 1
        self._forget_idle(name)

    def _forget_idle(self, name: str) -> None:
        client = self._clients[name]
        if not client.requests and not client.running:
            del self._clients[name]
