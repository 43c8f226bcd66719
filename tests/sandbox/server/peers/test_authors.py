"""`/execute_batch_code/` gives the client of QRPO's authors the rewards that it expects."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.server.peers.authors import first_tests

CONFIG = {
    "port": 8565,
    "cpu_limit": 1,
    "memory_limit_mb_per_cpu": 1024,
    "time_limit": 1,
    "min_tests": 20,
    "max_tests": 100,
}
ADD = "def check(candidate):\n    assert candidate(2, 2) == 4\n    assert candidate(-1, 1) == 0\n"


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```\nThat was it."


def body(completions: list[list[str]], entries: list[str], tests: list[str], **config: object) -> dict[str, object]:
    return {
        "pre_code": "import math",
        "batch_ref_model_completions": completions,
        "batch_entrypoints": entries,
        "batch_tests": tests,
        "config": {**CONFIG, **config},
    }


def rewards(client: TestClient, *arguments: Any, **config: object) -> list[list[float]]:
    response = client.post("/execute_batch_code/", json=body(*arguments, **config))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["message"] == "Batch evaluated successfully"
    assert [len(row) for row in answer["durations"]] == [len(row) for row in answer["results"]]
    assert answer["duration_seconds"] >= 0
    assert {"stdout", "stderr"} < set(answer)
    return list(answer["results"])


def test_a_reward_is_the_part_of_the_asserts_that_passed(client: TestClient) -> None:
    good, half = fenced("def add(a, b):\n    return a + b"), fenced("def add(a, b):\n    return 4")
    root = "def check(candidate):\n    assert candidate(x = 9) == 3\n"
    solution = fenced("class Solution:\n    def root(self, x):\n        return math.isqrt(x)")
    found = rewards(client, [[good, half], [solution, half]], ["add", "Solution().root"], [ADD, root])
    assert found == [[1.0, 0.5], [1.0, 0.0]]


def test_the_first_closed_block_in_python_is_the_program(client: TestClient) -> None:
    good = fenced("def add(a, b):\n    return a + b")
    completions = [good + fenced("nonsense("), "```\ndef add(a, b): return a + b\n```", good.replace("\n```", ""), ""]
    assert rewards(client, [completions], ["add"], [ADD]) == [[1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "class A(int):\n    __eq__ = lambda *_: True\ndef add(a, b): return A(7)",
        "print('RESULT_BATCH_IDX_0_SOLUTION_IDX_0:1.0')",
        "while True: pass",
    ],
)
def test_what_fools_or_hangs_their_server_gets_no_reward_here(client: TestClient, code: str) -> None:
    assert rewards(client, [[fenced(code)]], ["add"], [ADD], time_limit=0.2) == [[0.0]]


def test_only_so_many_tests_count(client: TestClient) -> None:
    half = fenced("def add(a, b):\n    return 4")
    assert rewards(client, [[half]], ["add"], [ADD], max_tests=1) == [[1.0]]


def test_the_cut_is_behind_the_last_assert_that_counts() -> None:
    text = "def check(candidate):\n    x = 1\n    assert candidate(x)\n    y = 2\n    assert candidate(y)\n"
    assert first_tests(text, 1) == "def check(candidate):\n    x = 1\n    assert candidate(x)"
    assert first_tests(text, 2) == text


def test_an_empty_batch_has_no_rewards(client: TestClient) -> None:
    assert rewards(client, [], [], []) == []
    assert rewards(client, [[]], ["add"], [ADD]) == [[]]


@pytest.mark.parametrize(
    ("arguments", "config", "words"),
    [
        (([["a"]], [], [ADD]), {}, "not one each"),
        (([["a"]], ["add"], ["def check(candidate):\n    pass"]), {}, "no statement of the tests asserts"),
        (([["a"]], ["add"], ["def check("]), {}, "not Python"),
        (([["a"]], ["add ("], [ADD]), {}, "entry_point"),
        (([["a"]], ["add"], [ADD]), {"time_limit": 21}, "at most 20"),
        (([["a"]], ["add"], [ADD]), {"max_tests": 0}, "max_tests"),
    ],
)
def test_a_batch_that_cannot_be_judged_is_refused_with_a_detail(
    client: TestClient, arguments: Any, config: dict[str, object], words: str
) -> None:
    response = client.post("/execute_batch_code/", json=body(*arguments, **config))
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_a_failure_of_the_host_is_no_reward(failing_client: TestClient) -> None:
    response = failing_client.post("/execute_batch_code/", json=body([[fenced("x = 1")]], ["add"], [ADD]))
    assert response.status_code == 503
    assert "no process is left" in response.json()["detail"]


def test_the_server_says_that_it_is_there(client: TestClient) -> None:
    assert set(client.get("/test").json()) == {"message"}
