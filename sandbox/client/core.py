"""What both clients are made of: the servers, and the batches on their way."""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sandbox.client.addresses import Addresses
from sandbox.client.batch import Batch
from sandbox.client.servers import Servers
from sandbox.client.work import Work
from sandbox.level import Level
from sandbox.slot import Enforcement
from sandbox.wire import Info

_count = itertools.count()

Source = TypeVar("Source")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client is told when it is made. Checked when built.

    Raises:
        ValueError: a time is not positive.
    """

    addresses: Addresses
    patience_s: float
    hedge_after_s: float | None
    progress: bool

    def __post_init__(self) -> None:
        for name in ("patience_s", "hedge_after_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} is {seconds!r}; it must be greater than 0")


class Core:
    """The servers and the batches of one client. Lives in the event loop in which it is made."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        name = f"{platform.node()}/{os.getpid()}/{next(_count)}"
        self._servers = Servers(settings.addresses, name, settings.patience_s)
        self._batches: set[Batch[Any, Any]] = set()

    async def open(self, work: Work[Source, Result]) -> Batch[Source, Result]:
        """A batch, to be given back to `end`."""
        batch = Batch(self._servers, work, self._settings.hedge_after_s)
        self._batches.add(batch)
        return batch

    async def end(self, batch: Batch[Any, Any]) -> None:
        """Gives up what is not done of it."""
        self._batches.discard(batch)
        await batch.close()

    async def give_up(self, batch: Batch[Any, Any]) -> None:
        """Ends it, whoever waits for it."""
        batch.stop()
        await self.end(batch)

    async def one(self, work: Work[Source, Result], source: Source) -> Result:
        """A batch of one. Raises as `Batch.step`."""
        batch = await self.open(work)
        try:
            found = await batch.step([source], are_last=True)
            return found[0][1]
        finally:
            await self.end(batch)

    async def workers(self) -> int:
        """Slots of all servers that answer. Raises as `Servers.infos`."""
        return sum(info.workers for info in (await self._servers.infos()).values())

    async def enforcement(self) -> Enforcement:
        """What holds on all servers that answer. Raises as `Servers.infos`."""
        return _common(list((await self._servers.infos()).values()))

    async def languages(self) -> tuple[str, ...]:
        """Those that all servers that answer have, so that it does not matter where a program goes.

        Raises:
            UnreachableError, RefusedError: see `Servers.infos`.
        """
        first, *others = await self._servers.languages()
        return tuple(name for name in first if all(name in other for other in others))

    async def close(self) -> None:
        """Makes all that waits raise ClosedError, and ends the connections."""
        for batch in list(self._batches):
            await self.give_up(batch)
        await self._servers.close()


def _common(infos: list[Info]) -> Enforcement:
    """The guards that all have, and the lower level."""
    absent: Mapping[str, str] = {name: why for info in infos for name, why in info.absent.items()}
    guards = tuple(name for name in infos[0].guards if all(name in info.guards for info in infos))
    levels = {Level(info.enforcement) for info in infos}
    return Enforcement(
        level=Level.LANDLOCK if Level.LANDLOCK in levels else Level.USERNS,
        guards=guards,
        absent=absent,
        python=min(info.python for info in infos),
    )
