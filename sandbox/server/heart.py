"""A server's entry in the folder of endpoints, from its first request to its last."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Self

from sandbox.endpoint import BEAT_S, EndpointRecord, publish, touch, withdraw

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
"""With a file system that does not answer."""


class Heart:
    """An asynchronous context: inside it the server can be found, and is known to live.

    Raises:
        OSError: its files cannot be written. Later on that is only logged: those who have found it can use it, and
            what it has accepted is finished all the same.
    """

    def __init__(self, folder: Path, record: EndpointRecord, token: str | None, beat_s: float = BEAT_S) -> None:
        self._folder = folder
        self._record = record
        self._token = token
        self._beat_s = beat_s
        self._stopped = asyncio.Event()
        self._is_failing = False

    async def __aenter__(self) -> Self:
        publish(self._folder, self._record.name, self._record, self._token)
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()
        await asyncio.wait([self._beating], timeout=_PATIENCE_S)  # or a beat would bring back what is withdrawn
        withdrawing = asyncio.create_task(asyncio.to_thread(withdraw, self._folder, self._record.name))
        await asyncio.wait([withdrawing], timeout=_PATIENCE_S)
        if not withdrawing.done():
            log.warning("%s does not answer: clients find this server until they take it for dead", self._folder)
        elif (error := withdrawing.exception()) is not None:
            log.warning("clients find this server until they take it for dead: %s", error)

    async def _beat(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._beat_s):
                    await self._stopped.wait()
                return
            except TimeoutError:
                pass
            try:
                await asyncio.to_thread(touch, self._folder, self._record.name, self._record, self._token)
                self._is_failing = False
            except OSError as error:
                if not self._is_failing:
                    log.warning("clients may soon take this server for dead: %s", error)
                self._is_failing = True
