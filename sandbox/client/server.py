"""One server as a client sees it: whether it can be used, what it has to do, and which problems it holds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable

from sandbox.client.addresses import Address
from sandbox.client.connection import Connection, request_body
from sandbox.client.failures import OversizedFailure, ProblemFailure
from sandbox.client.pace import Pace
from sandbox.client.problem_keys import KnownProblem
from sandbox.errors import OversizedError, RefusedError
from sandbox.wire import Info

_PAUSES_S = (0.1, 5.0)
_KEYS = 100_000
_UPLOAD_BYTES = 4 << 20


class Server:
    """One server. Lives in one event loop.

    Attributes:
        info: what it said of itself; None: it has to be asked, before it gets work.
        outstanding: submissions that it has been sent, of all batches.
        refusal: why it can never be used as it is.
        failure: what went wrong last.
        rest_until_s: it is left alone until then; of `time.monotonic`.
    """

    def __init__(self, address: Address, client: str) -> None:
        self.address = address
        self.connection = Connection(address, client)
        self.pace = Pace()
        self.info: Info | None = None
        self.outstanding = 0
        self.refusal: RefusedError | None = None
        self.failure = ""
        self.rest_until_s = 0.0
        self.most_bytes = 1 << 40
        self.most_items = 1 << 40
        self._failures = 0
        self._held: set[str] = set()
        self._uploading = asyncio.Lock()

    @property
    def is_usable(self) -> bool:
        """It may be sent work now."""
        return self.info is not None and time.monotonic() >= self.rest_until_s

    @property
    def workers(self) -> int:
        """Its slots; 1 until it is known."""
        return self.info.workers if self.info else 1

    @property
    def load(self) -> float:
        """Submissions per slot."""
        return self.outstanding / self.workers

    @property
    def window(self) -> int:
        """Submissions that a batch may have there at a time."""
        window = self.pace.window(self.workers)
        return min(window, self.info.max_submissions) if self.info else window

    async def ask(self) -> None:
        """Asks it what it is; afterwards it can be used. Raises as `Connection` does."""
        self.info = await self.connection.info(with_languages=False)
        self.most_bytes = self.info.max_body_bytes
        self.refusal = None

    def did_well(self) -> None:
        """A request was answered to its end, and not by a server that is about to end."""
        if self.info is not None:
            self._failures = 0

    def failed(self, error: Exception) -> None:
        """It is left alone for a while, longer each time, and then asked again."""
        if self.info is None and time.monotonic() < self.rest_until_s:
            return  # all that it had to do fails with it
        self._failures += 1
        pause_s = min(_PAUSES_S[0] * 2 ** min(self._failures - 1, 10), _PAUSES_S[1])
        self._put_aside(pause_s, str(error))

    def refused(self, error: RefusedError) -> None:
        """It cannot be used; it may be another one that answers after a while."""
        self.refusal = error
        self._put_aside(_PAUSES_S[1], str(error))

    def rest(self, pause_s: float, reason: str) -> None:
        """It has enough to do."""
        self.failure = reason
        self.rest_until_s = time.monotonic() + pause_s * random.uniform(1.0, 1.25)

    def gave(self, submissions: int) -> None:
        """It is being sent so many."""
        if not self.outstanding:
            self.pace.began(time.monotonic())
        self.outstanding += submissions

    def got(self, submissions: int, *, are_answered: bool) -> None:
        """So many are no longer outstanding."""
        self.outstanding -= submissions
        if are_answered:
            self.pace.came(submissions, time.monotonic())

    async def hold(self, problems: Iterable[KnownProblem]) -> None:
        """Sends it those of the problems that it does not hold.

        Raises:
            ProblemError: one is of no use.
            OversizedError: one is too large.
        """
        wanted = {problem.key: problem for problem in problems}
        if wanted.keys() <= self._held:
            return
        async with self._uploading:
            missing = [problem for key, problem in wanted.items() if key not in self._held]
            for group in _groups(missing, min(_UPLOAD_BYTES, self.most_bytes // 2)):
                await self._upload(group)

    def forget(self, keys: Iterable[str]) -> None:
        """It no longer holds these problems."""
        self._held.difference_update(keys)

    async def _upload(self, problems: list[tuple[KnownProblem, bytes]]) -> None:
        try:
            keys = await self.connection.put_problems(request_body("problems", [body for _, body in problems]))
        except (ProblemFailure, OversizedFailure) as failure:
            if len(problems) > 1:  # which of them it is, is found out
                for pair in problems:
                    await self._upload([pair])
                return
            problem, _ = problems[0]
            if isinstance(failure, ProblemFailure):
                raise problem.error(str(failure), failure.field) from None
            raise OversizedError(self.address.url, f"problem {problem.id!r} is too large: {failure}") from None
        if keys != [problem.key for problem, _ in problems]:
            raise self.connection.incompatible("it names problems in another way than this client")
        if len(self._held) > _KEYS:
            self._held.clear()
        self._held.update(keys)

    def _put_aside(self, pause_s: float, reason: str) -> None:
        self.info = None
        self.failure = reason
        self.rest_until_s = time.monotonic() + pause_s * random.uniform(0.75, 1.25)


def _groups(problems: Iterable[KnownProblem], most_bytes: int) -> Iterable[list[tuple[KnownProblem, bytes]]]:
    """Problems and what is sent of them, so many at a time as a request may hold; at least one."""
    group: list[tuple[KnownProblem, bytes]] = []
    size = 0
    for problem in problems:
        body = problem.body()
        if group and size + len(body) > most_bytes:
            yield group
            group, size = [], 0
        group.append((problem, body))
        size += len(body)
    if group:
        yield group
