"""`/test_program` and `/test_program_stdio` answer as open-instruct's code API does."""

import base64
import json
import pickle
import zlib
from typing import Any

import pytest
from starlette.testclient import TestClient

ADD = "def add(a, b):\n    return a + b\n"


def post(client: TestClient, route: str, program: str, tests: object, **fields: object) -> dict[str, Any]:
    response = client.post(route, json={"program": program, "tests": tests, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert set(answer) == {"results", "runtimes"}
    assert [runtime >= 0 for runtime in answer["runtimes"]] == [bool(result) for result in answer["results"]]
    assert all(runtime == -1 for runtime in answer["runtimes"] if runtime < 0)
    return answer


def functions(client: TestClient, program: str, tests: object, **fields: object) -> list[int]:
    return list(post(client, "/test_program", program, tests, **fields)["results"])


def stdio(client: TestClient, program: str, tests: object) -> list[int]:
    return list(post(client, "/test_program_stdio", program, tests)["results"])


def encoded(tests: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(tests))).decode()


def test_each_assert_has_its_result(client: TestClient) -> None:
    tests = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add(0, 0) == 1"]
    assert functions(client, ADD, tests, max_execution_time=1.0) == [1, 1, 0]


def test_a_piece_of_several_statements_is_one_test(client: TestClient) -> None:
    tests = [
        "x = add(1, 1)\nassert x == 2\nassert add(x, x) == 4",
        "x = add(1, 1)\nassert x == 2\nassert x == 3",
        "def check(candidate):\n    assert candidate(1, 2) == 3\ncheck(add)",
        "for n in range(3):\n    assert add(n, n) == 2 * n",
    ]
    assert functions(client, ADD, tests) == [1, 0, 1, 1]


def test_a_piece_without_an_assert_only_has_to_run(client: TestClient) -> None:
    assert functions(client, ADD, ["add(1, 2)", "add(1)", "pass"]) == [1, 0, 1]


def test_a_piece_that_is_not_python_fails_alone(client: TestClient) -> None:
    assert functions(client, ADD, ["assert (", "assert add(1, 2) == 3"]) == [0, 1]


@pytest.mark.parametrize("program", ["def add(", "raise ValueError", "import os; os._exit(0)", "", "def sub(): pass"])
def test_a_program_of_no_use_fails_every_test(client: TestClient, program: str) -> None:
    assert functions(client, program, ["assert add(1, 2) == 3"] * 3) == [0, 0, 0]


def test_time_is_each_tests_own(client: TestClient) -> None:
    program = "def f(n):\n    while n: pass\n    return n"
    assert functions(client, program, ["assert f(1) == 1", "assert f(0) == 0"], max_execution_time=0.2) == [0, 1]


def test_a_program_cannot_pass_by_equality_or_exit(client: TestClient) -> None:
    equal = "class A(int):\n    __eq__ = lambda *_: True\ndef add(a, b): return A()"
    assert functions(client, equal, ["assert add(1, 2) == 3"]) == [0]


def test_scripts_are_judged_by_what_they_write(client: TestClient) -> None:
    tests = [{"input": "5 3", "output": "8"}, {"input": "10 -2", "output": "9"}, {"input": "0 0\n", "output": " 0 \n"}]
    assert stdio(client, "a, b = map(int, input().split())\nprint(a + b)", tests) == [1, 0, 1]


def test_numbers_are_compared_as_numbers_and_lists_are_lines(client: TestClient) -> None:
    program = "n = float(input())\nm = float(input())\nprint(n + m)"
    assert stdio(client, program, [{"input": ["1.5", "2"], "output": "3.50"}]) == [1]


@pytest.mark.parametrize("encode", [json.dumps, encoded])
def test_tests_may_be_encoded(client: TestClient, encode: Any) -> None:
    assert functions(client, ADD, encode(["assert add(1, 2) == 3", "assert add(1, 2) == 4"])) == [1, 0]
    assert stdio(client, "print(int(input()) + 1)", encode([{"input": "1", "output": "2"}])) == [1]


@pytest.mark.parametrize("tests", [[], None, "", "[]"])
def test_no_tests_have_no_results(client: TestClient, tests: object) -> None:
    assert post(client, "/test_program", ADD, tests) == {"results": [], "runtimes": []}


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("{}", "a dict where a list"),
        ("not base64", "neither JSON nor"),
        (encoded(print), "not plain data"),
        ([1], "each must be a text of Python"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_list_of_tests_is_refused(client: TestClient, tests: object, words: str) -> None:
    response = client.post("/test_program", json={"program": ADD, "tests": tests})
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_half_of_a_surrogate_pair_is_no_text(client: TestClient) -> None:
    tests = encoded([{"input": "\ud800", "output": ""}])
    response = client.post("/test_program_stdio", json={"program": "", "tests": tests})
    assert (response.status_code, response.json()["detail"][:6]) == (422, "tests:")


def test_a_failure_of_the_host_is_no_result(failing_client: TestClient) -> None:
    response = failing_client.post("/test_program", json={"program": ADD, "tests": ["assert add(1, 2) == 3"]})
    assert response.status_code == 503
    assert "no process is left" in response.json()["detail"]


def test_the_server_says_that_it_is_there(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "healthy"}


def test_tests_of_any_depth_are_refused_in_its_words(client: TestClient) -> None:
    for depth in range(880, 1000, 4):
        answer = client.post("/test_program", json={"program": "1", "tests": "[" * depth + "]" * depth})
        assert answer.status_code == 422
        assert set(answer.json()) == {"detail"}
