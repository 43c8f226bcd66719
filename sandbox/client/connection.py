"""One server's HTTP API: pooled connections, and failures by what can be done about them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
from pydantic import ValidationError

from sandbox.client.addresses import Address
from sandbox.client.failures import (
    BusyFailure,
    ConflictFailure,
    LostFailure,
    OversizedFailure,
    ProblemFailure,
    RequestFailure,
    UnknownFailure,
)
from sandbox.client.line_splitter import LineSplitter
from sandbox.errors import IncompatibleServerError, LimitsRefusedError, SandboxError, TokenRefusedError
from sandbox.wire import (
    API_VERSION,
    CLIENT_HEADER,
    IDEMPOTENCY_HEADER,
    NDJSON,
    ErrorAnswer,
    ErrorBody,
    Info,
    ProblemsAnswer,
)

_CONNECT_S = 5.0
_ANSWER_S = 60.0
"""For all but judging and running; to measure languages, a program is compiled in each."""
_SILENCE_S = 10.0
"""Without a row, before the server is asked whether it lives."""
_PING_S = 5.0
_IDLE_S = 30.0
"""An unused connection is kept for less than the 75 s after which a server ends it, so that none is met half closed."""
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_MOST_BYTES = 1 << 30
"""Of a row: more than the output that any server lets a program have."""
_MOST_ANSWER_BYTES = 64 << 20
"""Of everything else: keys of all problems of a request are 7 MB."""
_JSON = {"content-type": "application/json"}


class Connection:
    """One server's HTTP API. Every method raises RequestFailure or RefusedError.

    Args:
        address: the server's.
        client: the name under which the server shares itself out between its clients.
    """

    def __init__(self, address: Address, client: str) -> None:
        self.url = address.url
        path = address.socket
        headers = {CLIENT_HEADER: client, "accept-encoding": "identity"}
        if address.token is not None:
            headers["authorization"] = f"Bearer {address.token}"
        transport = httpx2.AsyncHTTPTransport(
            verify=address.url.startswith("https:"),  # for the others it would read all certificates in vain
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=_IDLE_S),
            uds=path,
            socket_options=None if path else _KEEPALIVE,
        )
        self._http = httpx2.AsyncClient(
            base_url="http://localhost" if path else address.url,
            headers=headers,
            transport=transport,
            timeout=httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=False,  # a proxy of the environment is for the world outside, not for a node's own servers
        )

    async def info(self, *, with_languages: bool) -> Info:
        """What the server is and does; its languages, which it measures when it is first asked, only if wanted."""
        content = await self._ask("GET", f"/v1/info?with_languages={str(with_languages).lower()}")
        try:
            info = Info.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"it answers /v1/info in a way that this client does not understand ({first['msg']})"
            raise IncompatibleServerError(self.url, f"{reason}; install the same version on both sides") from None
        if info.api != API_VERSION:
            reason = f"it is version {info.version} with API {info.api}, and this client speaks API {API_VERSION}"
            raise IncompatibleServerError(self.url, f"{reason}; install the same version on both sides")
        return info

    async def is_ready(self) -> bool:
        """Whether the server takes work; otherwise it is about to end. It needs no token."""
        async with self._translated():
            status = (await self._http.get("/readyz")).status_code
        if status not in (200, 503):
            raise self.incompatible(f"status {status} of /readyz")
        return status == 200

    async def put_problems(self, body: bytes) -> list[str]:
        """Sends problems; their keys."""
        content = await self._ask("PUT", "/v1/problems", body)
        try:
            return ProblemsAnswer.model_validate_json(content).keys
        except ValidationError:
            raise self.incompatible("it answers /v1/problems in a way that this client does not understand") from None

    async def rows(self, path: str, body: bytes, key: str) -> AsyncGenerator[list[bytes]]:
        """Sends submissions; the rows of the answer, as they come.

        Args:
            path: `/v1/judge` or `/v1/run`.
            body: as these say.
            key: makes the request one that can be sent again without being done again.
        """
        headers = {**_JSON, "accept": NDJSON, IDEMPOTENCY_HEADER: key}
        timeout = httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S, read=None)
        async with (
            self._translated(),
            self._watched() as heard,
            self._http.stream("POST", path, content=body, headers=headers, timeout=timeout) as response,
        ):
            if response.status_code != 200:
                raise self._failure(response, await self._whole(response))
            splitter = LineSplitter()
            async for part in response.aiter_raw():
                heard.set()
                if lines := splitter.lines_with(part):
                    yield lines
                if splitter.rest_bytes > _MOST_BYTES:
                    raise self.incompatible(f"a row of its answer has more than {_MOST_BYTES} bytes")
            if splitter.rest_bytes:
                raise LostFailure("the answer ended in the middle of a row", was_sent=True)

    async def close(self) -> None:
        """Ends all connections."""
        await self._http.aclose()

    def incompatible(self, reason: str) -> IncompatibleServerError:
        """The server does what no server of this API would."""
        return IncompatibleServerError(self.url, f"{reason}; is it a qrpo-sandbox server of this version?")

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        async with self._translated(), self._watched():
            request = self._http.build_request(method, path, content=body, headers=_JSON if body else None)
            response = await self._http.send(request, stream=True)
            try:
                content = await self._whole(response)
            finally:
                await response.aclose()
        if response.status_code != 200:
            raise self._failure(response, content)
        return content

    async def _whole(self, response: httpx2.Response) -> bytes:
        """A body that has to be short, as it was sent: what is compressed may be of any size."""
        content = bytearray()
        try:
            async with asyncio.timeout(_ANSWER_S):
                async for part in response.aiter_raw():
                    content += part
                    if len(content) > _MOST_ANSWER_BYTES:
                        raise self.incompatible(f"it answers with more than {_MOST_ANSWER_BYTES} bytes")
        except TimeoutError:
            raise LostFailure(f"no whole answer for {_ANSWER_S:g} s", was_sent=True) from None
        return bytes(content)

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Turns failures of the HTTP library into ours."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise LostFailure(f"no connection: {str(error) or type(error).__name__}", was_sent=False) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise LostFailure(f"the connection failed: {str(error) or type(error).__name__}", was_sent=True) from error

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[asyncio.Event]:
        """Gives up what is inside when the server is silent and no longer lives; the event says that it was heard."""
        heard = asyncio.Event()
        watcher: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(None) as limit:
                watcher = asyncio.create_task(self._watch(heard, limit))
                yield heard
        except TimeoutError:
            raise LostFailure(f"no answer for {_SILENCE_S + _PING_S:g} s", was_sent=True) from None
        finally:
            if watcher is not None:
                watcher.cancel()

    async def _watch(self, heard: asyncio.Event, limit: asyncio.Timeout) -> None:
        while True:
            heard.clear()
            await asyncio.sleep(_SILENCE_S)
            if heard.is_set():
                continue
            try:
                await self._http.get("/healthz", timeout=_PING_S)
            except httpx2.HTTPError:
                limit.reschedule(asyncio.get_running_loop().time())
                return

    def _failure(self, response: httpx2.Response, content: bytes) -> RequestFailure | SandboxError:
        """Of an answer that is not 200."""
        status = response.status_code
        error = _error_of(status, content)
        match status, error.kind:
            case ((401 | 403), _):
                reason = "the token is missing or wrong; its endpoint folder has the right one, or put it into the URL"
                return TokenRefusedError(self.url, f"{reason}: http://:TOKEN@HOST:PORT")
            case 404, "unknown_problems":
                return UnknownFailure(error.message, error.problems or ())
            case 409, _:
                return ConflictFailure(error.message)
            case 413, _:
                return OversizedFailure(error.message)
            case 422, "problem":
                return ProblemFailure(error.message, error.field or "")
            case 422, "limit":
                return LimitsRefusedError(self.url, f"{error.message}; ask for less, or give the server higher maxima")
            case 429, _:
                return BusyFailure(error.message, _seconds(response))
            case _ if status >= 500:
                return LostFailure(f"status {status}: {error.message}", was_sent=error.kind != "draining")
        return self.incompatible(f"status {status}: {error.message}")


def request_body(name: str, parts: Sequence[bytes], options: bytes = b"{}") -> bytes:
    """A JSON object: a list of parts that are JSON already, and the fields of another object."""
    ending = b"," + options[1:] if options != b"{}" else b"}"
    return b'{"%s":[%s]%s' % (name.encode(), b",".join(parts), ending)


def _error_of(status: int, content: bytes) -> ErrorBody:
    try:
        return ErrorAnswer.model_validate_json(content).error
    except ValidationError:
        return ErrorBody(kind="", message=content[:200].decode(errors="replace").strip() or f"status {status}")


def _seconds(response: httpx2.Response) -> float:
    """What Retry-After says, within reason."""
    try:
        return min(max(float(response.headers.get("retry-after", "1")), 0.1), 60.0)
    except ValueError:
        return 1.0
