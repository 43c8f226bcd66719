"""The servers of a folder, each asked whether it takes work."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sandbox.client.addresses import address_of, is_within_reach
from sandbox.client.connection import Connection
from sandbox.client.failures import RequestFailure
from sandbox.endpoint import Endpoint, endpoints
from sandbox.errors import RefusedError

_PATIENCE_S = 5.0


class ServerState(StrEnum):
    """What a server answers."""

    READY = "ready"
    DRAINING = "draining"
    """It finishes what it has, and ends."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A server and its answer."""

    endpoint: Endpoint
    state: ServerState
    error: str
    """Why it cannot be reached; empty otherwise."""


async def call_roll(folder: Path) -> list[Present]:
    """Asks all at the same time, for `_PATIENCE_S` at most.

    Raises:
        OSError: see `endpoints`.
    """
    return list(await asyncio.gather(*map(_ask, endpoints(folder))))


async def _ask(endpoint: Endpoint) -> Present:
    if not is_within_reach(endpoint):
        why = f"it can be reached on {endpoint.record.host} only"
        return Present(endpoint=endpoint, state=ServerState.UNREACHABLE, error=why)
    connection = Connection(address_of(endpoint), "servers")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            state = ServerState.READY if await connection.is_ready() else ServerState.DRAINING
        return Present(endpoint=endpoint, state=state, error="")
    except TimeoutError:
        why = f"no answer for {_PATIENCE_S:g} s"
    except (RequestFailure, RefusedError) as error:
        why = str(error)
    finally:
        await connection.close()
    return Present(endpoint=endpoint, state=ServerState.UNREACHABLE, error=why)
