"""`/api/v2/runtimes` and `/api/v2/execute` answer as Piston documents them."""

import base64
from typing import Any

import pytest
from starlette.testclient import TestClient

PYTHON = {"language": "python", "version": "*"}


def execute(client: TestClient, content: str, **fields: object) -> dict[str, Any]:
    body = {**PYTHON, "files": [{"name": "main", "content": content}], **fields}
    response = client.post("/api/v2/execute", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(client: TestClient, **fields: object) -> str:
    response = client.post("/api/v2/execute", json={**PYTHON, "files": [{"content": "1"}], **fields})
    assert response.status_code == 400, response.text
    assert set(response.json()) == {"message"}
    return str(response.json()["message"])


def test_runtimes_have_the_versions_of_what_is_here(client: TestClient) -> None:
    runtimes = {runtime["language"]: runtime for runtime in client.get("/api/v2/runtimes").json()}
    python = execute(client, "import platform; print(platform.python_version())")
    assert python["run"]["stdout"].strip() == runtimes["python"]["version"] == python["version"]
    assert {"py", "python3"} <= set(runtimes["python"]["aliases"])
    bash = execute(client, "echo ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}.${BASH_VERSINFO[2]}", language="sh")
    assert bash["run"]["stdout"].strip() == runtimes["bash"]["version"]
    assert "0.0.0" not in [runtime["version"] for runtime in runtimes.values()]


def test_a_program_that_ends_well(client: TestClient) -> None:
    code = "import sys\nprint(sys.argv[1:], repr(sys.stdin.read()))\nprint('note', file=sys.stderr)"
    answer = execute(client, code, language="py3", version="3.x", stdin="in", args=["1", "b c"])
    run = answer.pop("run")
    assert (answer["language"], set(answer)) == ("python", {"language", "version"})
    assert (run["stdout"], run["stderr"]) == ("['1', 'b c'] 'in\\n'\n", "note\n")
    assert run["output"] == run["stdout"] + run["stderr"]
    assert [run[name] for name in ("code", "signal", "message", "status")] == [0, None, None, None]
    assert run["memory"] > 0
    assert 0 < run["cpu_time"] < 10_000
    assert 0 < run["wall_time"] < 10_000


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "signal"),
    [
        ("raise SystemExit(3)", "RE", 3, None),
        ("import os; os.kill(os.getpid(), 11)", "SG", None, "SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", "SG", None, "SIGRTMIN+6"),
        ("while True: pass", "TO", None, "SIGKILL"),
        ("print('x' * 2 ** 25)", "OL", None, "SIGKILL"),
        ("x = bytearray(10 ** 9)", "RE", 1, None),
        ("x = bytearray(1)\nfor n in range(60): x += b'x' * 2 ** 22\nwhile True: pass", "SG", None, "SIGKILL"),
        ("print(", "RE", 1, None),
    ],
)
def test_a_program_that_fails(
    client: TestClient, code: str, status: str, exit_code: int | None, signal: str | None
) -> None:
    run = execute(client, code, run_timeout=300, run_memory_limit=200_000_000)["run"]
    assert (run["status"], run["code"], run["signal"]) == (status, exit_code, signal)
    assert run["message"]


def test_a_compiled_language_has_a_compile_stage(client: TestClient) -> None:
    good = execute(client, '#include <cstdio>\nint main() { puts("ok"); }', language="c++")
    assert (good["compile"]["code"], good["run"]["code"], good["run"]["stdout"]) == (0, 0, "ok\n")
    bad = execute(client, "int main() {", language="g++")
    assert bad["compile"] == bad["run"]  # as Piston does, for clients that look only there
    assert bad["compile"]["code"] == 1
    assert "error" in bad["compile"]["stderr"]


def test_the_first_text_is_the_program_and_other_files_lie_beside_it(client: TestClient) -> None:
    files = [
        {"name": "data.bin", "content": base64.b64encode(b"\0\1").decode(), "encoding": "base64"},
        {
            "name": "main.py",
            "content": "import lib.helper\nprint(lib.helper.f(), open('data.bin', 'rb').read(), open('h').read())",
        },
        {"name": "lib/helper.py", "content": "def f(): return 5"},
        {"name": "h", "content": "6869", "encoding": "hex"},
    ]
    assert execute(client, "", files=files)["run"]["stdout"] == "5 b'\\x00\\x01' hi\n"


def test_a_header_can_be_included(client: TestClient) -> None:
    files = [
        {"name": "main.cpp", "content": '#include "value.h"\n#include <cstdio>\nint main() { printf("%d", VALUE); }'},
        {"name": "value.h", "content": "#define VALUE 42"},
    ]
    assert execute(client, "", language="c++", files=files)["run"]["stdout"] == "42"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"language": "cobol"}, "cobol-* runtime is unknown"),
        ({"version": "2.x"}, "python-2.x runtime is unknown"),
        ({"version": "latest"}, "python-latest runtime is unknown"),
        ({"files": []}, "files must include at least one utf8 encoded file"),
        ({"run_timeout": 20_001}, "run_timeout cannot exceed the configured limit of 20000"),
        ({"run_cpu_time": -1}, "run_cpu_time must be non-negative"),
        ({"compile_timeout": 30_001}, "compile_timeout cannot exceed the configured limit of 30000"),
        ({"run_memory_limit": 1 << 40}, f"run_memory_limit cannot exceed the configured limit of {2048 << 20}"),
        ({"files": "x"}, "files: Input should be a valid"),
        ({"files": [{"content": "1"}, {"name": "/etc/x", "content": ""}]}, "'/etc/x' is no path"),
        ({"args": ["\0"]}, "null character"),
    ],
)
def test_what_cannot_be_run_is_refused_in_their_shape(
    client: TestClient, fields: dict[str, object], message: str
) -> None:
    assert message in refused(client, **fields)


def test_no_limit_is_the_default_one(client: TestClient) -> None:
    assert execute(client, "print(1)", run_memory_limit=-1, compile_memory_limit=-1)["run"]["code"] == 0


def test_a_failure_of_the_host_is_no_result(failing_client: TestClient) -> None:
    response = failing_client.post("/api/v2/execute", json={**PYTHON, "files": [{"content": "1"}]})
    assert response.status_code == 503
    assert "no process is left" in response.json()["message"]


def test_a_server_without_room_says_when_to_come_again(busy_client: TestClient) -> None:
    response = busy_client.post("/api/v2/execute", json={**PYTHON, "files": [{"content": "1"}]})
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    assert "queue is full" in response.json()["message"]
