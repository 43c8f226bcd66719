"""Clients that ask for more than a server can do, and what each of them was answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from baselines import EXPECTED, PROGRAM
from http_load import Connection
from server_process import ServerProcess
from submissions import KNOWN

from sandbox import Verdict
from sandbox.records import ProblemRecord
from sandbox.wire import CLIENT_HEADER, NDJSON, ProblemsBody

SIZES = (1, 1, 2, 4, 8, 16, 32)
"""Of batches, each as often."""
MEAN_SIZE = sum(SIZES) / len(SIZES)
_JUDGED = [known for known in KNOWN if known.verdict not in (Verdict.TLE, Verdict.MLE)]
_STATUS_OVERLOADED = 429


@dataclass(slots=True)
class Tally:
    """What became of submissions."""

    offered: int = 0
    """Sent for the first time."""
    held_back: int = 0
    """Not sent, as their client had been told to come again later."""
    turned_away: int = 0
    """Requests answered by 429."""
    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Requests that ended in any other way."""


class Load:
    """Batches of programs and submissions of every kind but the slow ones; every answer is compared.

    Args:
        named: whether each client says who it is, or all look like one.
    """

    def __init__(self, server: ServerProcess, *, named: bool) -> None:
        self.tally = Tally()
        self._server = server
        self._named = named
        self._numbers = count()
        self._keys: list[str] = []

    async def prepare(self) -> None:
        """Send the problems."""
        records = [ProblemRecord.from_problem(known.problem) for known in _JUDGED]
        body = ProblemsBody(problems=records).model_dump_json(exclude_defaults=True).encode()
        async with Connection(self._server.url, self._server.headers) as connection:
            self._keys = (await connection.post("/v1/problems", body, "PUT")).json()["keys"]

    async def capacity_per_s(self, seconds: float, connections: int = 8) -> float:
        """Submissions a second when a few clients always have a batch there."""
        end = asyncio.get_running_loop().time() + seconds
        clients = [_Client(self, f"capacity-{index}", index) for index in range(connections)]
        before = self.tally.accepted
        await asyncio.gather(*(client.one_after_another(end) for client in clients))
        return (self.tally.accepted - before) / seconds

    async def run(self, clients: int, per_s: float, seconds: float) -> None:
        """An open loop: batches come at random times, as many a second whatever the server answers.

        A closed loop, in which each client waits for its last answer, would slow down with the server: it would never
        ask for more than it can do. A client that is turned away comes again when it was told to, and keeps what it
        would have sent meanwhile to itself.
        """
        end = asyncio.get_running_loop().time() + seconds
        rate = per_s / MEAN_SIZE / clients
        await asyncio.gather(
            *(_Client(self, f"client-{index}", index).at_random(rate, end) for index in range(clients))
        )

    def connection(self, client: str) -> Connection:
        """One of a client's."""
        name = {CLIENT_HEADER: client} if self._named else {}
        return Connection(self._server.url, {**self._server.headers, "accept": NDJSON, **name})

    def batch(self, size: int, *, judged: bool) -> tuple[str, bytes, list[str]]:
        """A route, a body, and what must be answered."""
        numbers = [next(self._numbers) for _ in range(size)]
        if not judged:
            programs = [{"code": f"print({number})"} for number in numbers]
            return "/v1/run", json.dumps({"programs": programs}).encode(), [f"{number}\n" for number in numbers]
        chosen = [number % len(_JUDGED) for number in numbers]
        submissions = [
            {"problem": self._keys[one], "code": _JUDGED[one].code, "id": str(number)}
            for number, one in zip(numbers, chosen, strict=True)
        ]
        expected = [f"{number} {_JUDGED[one].verdict}" for number, one in zip(numbers, chosen, strict=True)]
        return "/v1/judge", json.dumps({"submissions": submissions}).encode(), expected

    def count(self, rows: list[dict[str, Any]], expected: list[str]) -> None:
        """Compare an answer."""
        self.tally.accepted += len(expected)
        answers = {row["index"]: _said(row) for row in rows}
        self.tally.doubled += len(rows) - len(answers)
        self.tally.lost += len(expected) - len(answers)
        self.tally.wrong += sum(expected[index] != said for index, said in answers.items())


class _Client:
    """One of the load's; its connections are kept for later requests."""

    def __init__(self, load: Load, name: str, seed: int) -> None:
        self._load = load
        self._name = name
        self._random = random.Random(seed)
        self._idle: list[Connection] = []
        self._back_s = 0.0
        self._loop = asyncio.get_running_loop()

    async def one_after_another(self, end_s: float) -> None:
        """A closed loop."""
        while self._loop.time() < end_s:
            await self._batch(end_s)
        await self._leave()

    async def at_random(self, per_s: float, end_s: float) -> None:
        """An open loop; returns when all has been answered."""
        async with asyncio.TaskGroup() as group:
            due_s = self._loop.time()
            while (due_s := due_s + self._random.expovariate(per_s)) < end_s:
                await asyncio.sleep(due_s - self._loop.time())
                if self._loop.time() < self._back_s:
                    self._load.tally.held_back += 1
                else:
                    group.create_task(self._batch(end_s))
        await self._leave()

    async def _batch(self, end_s: float) -> None:
        size, judged = self._random.choice(SIZES), self._random.random() < 0.5
        path, body, expected = self._load.batch(size, judged=judged)
        tally = self._load.tally
        tally.offered += size
        try:
            connection = await self._free()
            while (answer := await connection.post(path, body)).status == _STATUS_OVERLOADED:
                tally.turned_away += 1
                pause_s = float(answer.headers["retry-after"])
                self._back_s = self._loop.time() + pause_s
                if self._back_s > end_s:
                    break
                await asyncio.sleep(pause_s)
            else:
                self._load.count(answer.rows(), expected)
            self._idle.append(connection)
        except Exception as error:  # noqa: BLE001  # counted, by what it says
            tally.errors[f"{type(error).__name__}: {error}"[:200]] += 1

    async def _free(self) -> Connection:
        """One that the server has not closed: it does that to those that nobody uses."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                return connection
        return await self._load.connection(self._name).__aenter__()

    async def _leave(self) -> None:
        for connection in self._idle:
            await connection.__aexit__()


async def single_s(load: Load, name: str, seconds: float, every_s: float) -> list[float]:
    """Latencies of a small client: one trivial program at a time, with pauses; inf where it was turned away."""
    end = asyncio.get_running_loop().time() + seconds
    body = json.dumps({"programs": [{"code": PROGRAM}]}).encode()
    found = []
    async with load.connection(name) as connection:
        while (began := asyncio.get_running_loop().time()) < end:
            answer = await connection.post("/v1/run", body)
            found.append(asyncio.get_running_loop().time() - began)
            if answer.status == _STATUS_OVERLOADED:
                found[-1] = float("inf")
            elif answer.rows()[0]["result"]["stdout"] != EXPECTED.decode():
                load.tally.wrong += 1
            await asyncio.sleep(every_s)
    return found


def _said(row: dict[str, Any]) -> str:
    result = row.get("result")
    if result is None:
        return str(row.get("error"))
    return f"{result['id']} {result['verdict']}" if "passed" in result else str(result["stdout"])
