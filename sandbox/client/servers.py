"""All servers of a client: which there are, which can be used, and what to say when none can."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from sandbox.client.addresses import Address, Addresses
from sandbox.client.failures import RequestFailure
from sandbox.client.server import Server
from sandbox.errors import InfrastructureError, RefusedError, SandboxError, UnreachableError
from sandbox.wire import Info

log = logging.getLogger(__name__)

_REREAD_S = 1.0
_LEAST_PAUSE_S = 0.01
_SILENCE_S = 5.0
"""Without a server, until the caller is told what is waited for."""


class Servers:
    """Lives in one event loop.

    Args:
        addresses: where they are.
        client: see `Connection`.
        patience_s: without any server that answers, until an error is due.
    """

    def __init__(self, addresses: Addresses, client: str, patience_s: float) -> None:
        self._addresses = addresses
        self._client = client
        self._patience_s = patience_s
        self._servers: dict[Address, Server] = {}
        self._left: list[Server] = []
        self._asking: dict[Server, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._listeners: set[Callable[[], None]] = set()
        self._read_s = float("-inf")
        self._folder_failure = ""
        self._has_warned = False

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls it whenever a server has become usable, or has not."""
        self._listeners.add(listener)

    def ignore(self, listener: Callable[[], None]) -> None:
        """Calls it no more."""
        self._listeners.discard(listener)

    def look(self) -> None:
        """Finds out what has changed: servers that came or went, and those that are due to be asked."""
        now_s = time.monotonic()
        if now_s - self._read_s >= _REREAD_S:
            self._read_s = now_s
            self._reread()
        for server in self._servers.values():
            if server.info is None and now_s >= server.rest_until_s and server not in self._asking:
                self._asking[server] = asyncio.create_task(self._ask(server))

    def usable(self) -> list[Server]:
        """Those that may be sent work now, the least loaded first.

        Of equals, any: otherwise the clients of many processes would all begin with the same server.
        """
        usable = [server for server in self._servers.values() if server.is_usable]
        return usable if len(usable) < 2 else sorted(usable, key=lambda server: (server.load, random.random()))

    @property
    def workers(self) -> int:
        """Slots of all that do or may soon take part."""
        coming = [server for server in self._servers.values() if server.info is not None or server in self._asking]
        return sum(server.workers for server in coming) or 1

    @property
    def next_look_s(self) -> float:
        """Time until it is worth looking again, s."""
        now_s = time.monotonic()
        rests_s = [server.rest_until_s - now_s for server in self._servers.values() if server.rest_until_s > now_s]
        return max(min([_REREAD_S, *rests_s]), _LEAST_PAUSE_S)

    def fault(self, since_s: float) -> SandboxError | None:
        """Why it is of no use to wait any longer for a server.

        Args:
            since_s: when a server last did something; of `time.monotonic`.
        """
        servers = list(self._servers.values())
        if any(server.info is not None or not server.failure for server in servers):  # or it is asked just now
            return None
        if servers and all(server.refusal is not None for server in servers):
            return servers[0].refusal
        waited_s = time.monotonic() - since_s
        if waited_s < min(_SILENCE_S, self._patience_s):
            return None
        failures = {server.address.url: server.failure for server in servers}
        said = [f"{url}: {failure}" for url, failure in failures.items()]
        if self._folder_failure:
            said.append(self._folder_failure)
        if not said:
            said.append("none is known; start one with `qrpo-sandbox serve` or `fleet up`, or set QRPO_SANDBOX_SERVERS")
        message = f"no server of {self._addresses} for {waited_s:.0f} s: {'; '.join(said)}"
        if waited_s >= self._patience_s:
            return UnreachableError(message, failures)
        if not self._has_warned:
            self._has_warned = True
            log.warning("%s; waiting up to %g s", message, self._patience_s)
        return None

    async def infos(self) -> dict[Server, Info]:
        """What the servers say of themselves that answer, at least one.

        Raises:
            UnreachableError: none does for longer than the patience.
            RefusedError: none takes this client.
        """
        began_s = time.monotonic()
        while True:
            self.look()
            if self._asking:
                await asyncio.wait(self._asking.values())
            infos = {server: server.info for server in self._servers.values() if server.info is not None}
            if infos:
                return infos
            if (fault := self.fault(began_s)) is not None:
                raise fault
            await asyncio.sleep(self.next_look_s)

    async def languages(self) -> list[list[str]]:
        """Those of each server that answers.

        Raises:
            InfrastructureError: a server failed meanwhile.
            UnreachableError, RefusedError: see `infos`.
        """
        servers = await self.infos()
        try:
            infos = await asyncio.gather(*(server.connection.info(with_languages=True) for server in servers))
        except RequestFailure as failure:
            raise InfrastructureError(f"a server failed when it was asked for its languages: {failure}") from failure
        return [info.languages or [] for info in infos]

    async def close(self) -> None:
        """Ends all connections."""
        tasks = [*self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        for server in [*self._servers.values(), *self._left]:
            await server.connection.close()

    def _reread(self) -> None:
        try:
            now = self._addresses.now()
            self._folder_failure = ""
        except OSError as error:
            self._folder_failure = str(error)
            return
        for address in self._servers.keys() - set(now):
            log.info("server %s has gone", address.url)
            self._left.append(self._servers.pop(address))
        for address in now:
            if address not in self._servers:
                self._servers[address] = Server(address, self._client)
        for server in [server for server in self._left if not server.outstanding]:
            self._left.remove(server)
            task = asyncio.create_task(server.connection.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _ask(self, server: Server) -> None:
        try:
            await server.ask()
            log.info("server %s has %d workers", server.address.url, server.workers)
        except RefusedError as error:
            server.refused(error)
        except RequestFailure as error:
            log.info("server %s cannot be used: %s", server.address.url, error)
            server.failed(error)
        finally:
            del self._asking[server]
            for listener in list(self._listeners):
                listener()
