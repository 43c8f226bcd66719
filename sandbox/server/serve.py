"""The life of a server, from its start to the last of its files."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.requests import ClientDisconnect

from containers.runtime import Runtime
from sandbox.allotment import allotment
from sandbox.endpoint import EndpointRecord, prepare_folder, token_path
from sandbox.level import Level
from sandbox.pool import Sandbox
from sandbox.server.app import create_app
from sandbox.server.connection import MOST_CONNECTIONS, Connection
from sandbox.server.heart import Heart
from sandbox.server.leftovers import sweep
from sandbox.server.listening import Listening
from sandbox.server.service import Service
from sandbox.server.settings import Settings

log = logging.getLogger(__name__)

_HAND_BACK_S = 5.0
"""For clients to read what could not be done."""
_CLOSE_S = 5
"""For connections to close that have been answered."""
_KEEP_ALIVE_S = 75
"""Longer than common clients keep a connection (5 to 60 s): it is they who close it, never both at the same time."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What a server is told beside its settings."""

    folder: Path
    """Where it can be found; see `sandbox.endpoint`."""
    token: str | None
    """What clients must send; None where only this user can connect."""
    workers: int | None = None
    """See `Sandbox`, as for the next two."""
    runtime: Runtime | None = None
    level: Level = Level.USERNS
    drain_s: float = 20.0
    """How long what was accepted may take after a signal, s; what is left then is handed back."""
    settings: Settings = field(default_factory=Settings)


def serve(listen: Callable[[], Listening], options: ServeOptions, say: Say) -> int:
    """Serves until a signal comes; the exit code: 0, or 128 and the number of the second signal.

    SIGTERM, SIGINT and, unless it was ignored as under nohup, SIGHUP end it: it takes nothing new and finishes what it
    has. At a second one it stops at once.

    Args:
        listen: binds its address.
        say: writes a line for the user.

    Raises:
        ListenError: it cannot listen there.
        UnsupportedHostError, InfrastructureError, MissingPackageError: see `Sandbox`.
        OSError: the folder is of no use.
    """
    _raise_descriptor_limit()
    with _signals_end_the_start(), ExitStack() as stack:
        prepare_folder(options.folder)
        swept = sweep(options.folder)
        if swept:
            names = ", ".join(f"{record.url} (pid {record.pid})" for record in swept)
            say(f"cleaned up after {len(swept)} that had been killed: {names}")
        listening = listen()
        stack.callback(listening.close)
        sandbox = stack.enter_context(Sandbox(options.workers, runtime=options.runtime, level=options.level))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Life(listening, options, sandbox, say).live())


class _Life:
    """A server in its event loop."""

    def __init__(self, listening: Listening, options: ServeOptions, sandbox: Sandbox, say: Say) -> None:
        self._listening = listening
        self._options = options
        self._sandbox = sandbox
        self._say = say
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()

    async def live(self) -> int:
        """The exit code."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._signals.put_nowait, number)
        app = create_app(self._sandbox, self._options.settings, self._options.token)
        server = _Server(_config(app))
        serving = asyncio.create_task(server.serve(sockets=[self._listening.sock]))
        await server.until_started(serving)
        record = EndpointRecord.of_this_process(self._listening.url, self._sandbox.workers, version("qrpo-sandbox"))
        try:
            async with Heart(self._options.folder, record, self._options.token):
                self._say(self._first_line(record))
                number = await self._until_signal(serving)
                self._say(f"{number.name}: finishing what was accepted; once more stops at once")
        except OSError:  # it cannot be found
            server.should_exit = True
            await serving
            raise
        return await self._end(server, serving, app.state.service)

    async def _until_signal(self, serving: asyncio.Task[None]) -> signal.Signals:
        signalled = asyncio.create_task(self._signals.get())
        await asyncio.wait([signalled, serving], return_when=asyncio.FIRST_COMPLETED)
        if not signalled.done():
            serving.result()  # it has failed, and says why
            raise RuntimeError("the server ended by itself")
        return signalled.result()

    async def _end(self, server: _Server, serving: asyncio.Task[None], service: Service) -> int:
        again = asyncio.create_task(self._signals.get())
        finishing = asyncio.create_task(self._finish(server, serving, service))
        await asyncio.wait([again, finishing], return_when=asyncio.FIRST_COMPLETED)
        if finishing.done():
            finishing.result()
            return 0
        finishing.cancel()
        await self._sandbox.close_async()
        server.cut()
        await asyncio.wait([serving], timeout=_CLOSE_S)
        return 128 + again.result()

    async def _finish(self, server: _Server, serving: asyncio.Task[None], service: Service) -> None:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(self._options.drain_s):
                await service.dispatcher.drain()
        except TimeoutError:
            self._say(f"handing back {service.dispatcher.depth} submissions after {self._options.drain_s:g} s")
            # Then all its futures end with ClosedError, which tells clients to go elsewhere.
            await self._sandbox.close_async()
            await asyncio.wait([asyncio.create_task(service.dispatcher.drain())], timeout=_HAND_BACK_S)
        server.should_exit = True
        await serving
        log.info("ended %.1f s after the signal", time.monotonic() - began_s)

    def _first_line(self, record: EndpointRecord) -> str:
        fewer = allotment().why_fewer if self._options.workers is None else ""
        parts = [
            f"qrpo-sandbox {record.version} serves at {record.url}",
            f"{record.workers} workers" + (f" ({fewer})" if fewer else ""),
            f"enforcement {self._sandbox.enforcement.level}",
        ]
        if self._options.token is not None:
            parts.append(f"token in {token_path(self._options.folder, record.name)}")
        if self._listening.path is None:
            parts.append(f"page {record.url}/")
        return "; ".join(parts)


class _Server(uvicorn.Server):
    """One whose signals are this module's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield

    def cut(self) -> None:
        """Ends it with all connections, whatever they are at."""
        self.should_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    async def until_started(self, serving: asyncio.Task[None]) -> None:
        """Returns when it listens. Raises what `serving` does."""
        while not self.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.005)


def _config(app: FastAPI) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").addFilter(_is_worth_a_line)
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # a client's word for its address is its X-Client, and nothing else
        server_header=False,
        backlog=MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_CLOSE_S,
    )


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """That a client has gone, or been cut off, is no failure of the application."""
    return not (record.exc_info and record.exc_info[0] in (ClientDisconnect, asyncio.CancelledError))


@contextmanager
def _signals_end_the_start() -> Iterator[None]:
    """Until the event loop takes them, signals raise: what was made so far is taken back."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_descriptor_limit() -> None:
    """Each connection needs a descriptor, each slot some."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
