"""What a submission costs a client that never waits: one that a large fleet keeps busy."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cores import ALL, FIRST, pinned
from http_load import Connection
from leetcode import Completion
from server_process import ServerProcess

from sandbox import SandboxClient, Verdict
from sandbox.records import ProblemRecord
from sandbox.wire import NDJSON, ProblemsBody

_SCRIPT = Path(__file__).with_name("replay_server.py")


def busy_client_us(completions: Sequence[Completion], rounds: int, least: int) -> float:
    """CPU time of this process for one submission, user and system, µs: mean of the rounds.

    A server judges the completions once; what it answered then comes from `replay_server.py`, on another core where
    there is one, as fast as the client can take it.

    Args:
        least: submissions of a round, at least.

    Raises:
        RuntimeError: a completion is not AC.
    """
    with ServerProcess() as server:
        said = asyncio.run(_record(server, completions))
    submissions = [(one.problem, one.solution) for one in completions] * -(-least // len(completions))
    found = []
    with pinned(FIRST):
        replay = subprocess.Popen([sys.executable, _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with replay, pinned(frozenset({max(ALL)})):
        with SandboxClient(f"http://127.0.0.1:{_begin(replay, said)}") as client:
            for _ in range(rounds + 1):
                began_s = time.process_time()
                results = client.judge_batch(submissions)
                found.append((time.process_time() - began_s) * 1e6 / len(submissions))
        replay.communicate()
    if any(result.verdict is not Verdict.AC for result in results):
        raise RuntimeError("a completion is not AC")
    return statistics.mean(
        found[1:]
    )  # problems are sent in the first; every second one has Python's garbage to collect


def _begin(replay: subprocess.Popen[str], said: dict[str, Any]) -> int:
    """The port of the server, which is told what to say."""
    if replay.stdin is None or replay.stdout is None:
        raise RuntimeError("the process has no pipes")
    print(json.dumps(said), file=replay.stdin, flush=True)
    return int(replay.stdout.readline())


async def _record(server: ServerProcess, completions: Sequence[Completion]) -> dict[str, Any]:
    """What it says of itself, and of each completion, by its problem."""
    records = [ProblemRecord.from_problem(one.problem) for one in completions]
    problems = ProblemsBody(problems=records).model_dump_json(exclude_defaults=True).encode()
    async with Connection(server.url, {**server.headers, "accept": NDJSON}) as connection:
        info = (await connection.post("/v1/info?with_languages=false", b"", "GET")).json()
        keys = (await connection.post("/v1/problems", problems, "PUT")).json()["keys"]
        judged = [{"problem": key, "code": one.solution} for key, one in zip(keys, completions, strict=True)]
        rows = (await connection.post("/v1/judge", json.dumps({"submissions": judged}).encode())).rows()
    return {
        "info": info,
        "rows": {keys[row["index"]]: json.dumps(row["result"], separators=(",", ":")) for row in rows},
    }
