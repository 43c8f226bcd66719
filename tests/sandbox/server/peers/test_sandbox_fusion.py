"""`POST /run_code` answers as SandboxFusion documents it and as the clients of its API read it."""

import base64
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox import RunResult, Verdict
from sandbox.limits import MIB
from sandbox.server.peers.sandbox_fusion import return_code_of


def run(client: TestClient, code: str, language: str = "python", **fields: object) -> dict[str, Any]:
    response = client.post("/run_code", json={"code": code, "language": language, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert set(answer) == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
    return answer


def test_a_program_that_ends_well_is_a_success_with_all_it_wrote(client: TestClient) -> None:
    code = "import sys\nprint(input())\nprint('note', file=sys.stderr)"
    answer = run(client, code, stdin="hello", compile_timeout=10, run_timeout=10, memory_limit_MB=256, files={})
    assert (answer["status"], answer["message"], answer["compile_result"]) == ("Success", "", None)
    result = answer["run_result"]
    assert 0 < result.pop("execution_time") < 10
    assert result == {"status": "Finished", "return_code": 0, "stdout": "hello\n", "stderr": "note\n"}


def test_no_stdin_is_an_empty_one(client: TestClient) -> None:
    assert run(client, "import sys; print(len(sys.stdin.read()))", stdin=None)["run_result"]["stdout"] == "0\n"


@pytest.mark.parametrize(
    ("code", "return_code", "words"),
    [
        ("raise SystemExit(3)", 3, "status 3"),
        ("import os; os.kill(os.getpid(), 9)", -9, "SIGKILL"),
        ("print(", 1, "SyntaxError"),
        ("x = bytearray(10 ** 9)", 1, "MemoryError"),
        ("print('x' * 2 ** 25)", -9, "output limit exceeded"),
    ],
)
def test_a_program_that_fails_is_told_by_its_return_code(
    client: TestClient, code: str, return_code: int, words: str
) -> None:
    answer = run(client, code, memory_limit_MB=256)
    result = answer["run_result"]
    assert (answer["status"], result["status"], result["return_code"]) == ("Failed", "Finished", return_code)
    assert words in result["stderr"]


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)"])
def test_a_program_that_takes_too_long_has_no_return_code(client: TestClient, code: str) -> None:
    answer = run(client, code, run_timeout=0.2)
    assert answer["status"] == "Failed"
    assert (answer["run_result"]["status"], answer["run_result"]["return_code"]) == ("TimeLimitExceeded", None)


def test_a_compiled_language_has_a_compile_result(client: TestClient) -> None:
    good = run(client, '#include <cstdio>\nint main() { puts("ok"); return 2; }', "cpp")
    assert good["compile_result"]["return_code"] == 0
    assert (good["status"], good["run_result"]["return_code"], good["run_result"]["stdout"]) == ("Failed", 2, "ok\n")
    bad = run(client, "int main() {", "cpp")
    assert (bad["status"], bad["run_result"]) == ("Failed", None)
    assert (bad["compile_result"]["status"], bad["compile_result"]["return_code"]) == ("Finished", 1)
    assert "error" in bad["compile_result"]["stderr"]


def test_their_names_of_languages_are_known(client: TestClient) -> None:
    assert run(client, "console.log(6 * 7)", "nodejs")["run_result"]["stdout"] == "42\n"
    assert run(client, "echo $((6 * 7))", "bash")["run_result"]["stdout"] == "42\n"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"language": "lua"}, "lua"),
        ({"run_timeout": 21}, "at most 20"),
        ({"run_timeout": 0}, "greater than 0"),
        ({"memory_limit_MB": 4096}, "memory_bytes"),
        ({"memory_limit_MB": 1}, "memory_bytes"),
        ({"files": {"../a": ""}}, "../a"),
        ({"files": {"/etc/passwd": ""}}, "/etc/passwd"),
        ({"files": {"main.py": ""}}, "main.py"),
        ({"files": {"a": "", "a/b": ""}}, "a/b"),
        ({"files": {"a": "%"}}, "files"),
        ({"fetch_files": ["a/../../b"]}, "b"),
    ],
)
def test_what_cannot_be_run_is_an_error_of_the_sandbox_and_no_result(
    client: TestClient, fields: dict[str, object], words: str
) -> None:
    answer = run(client, **{"code": "print(1)", "language": "python", **fields})  # type: ignore[arg-type]
    assert (answer["status"], answer["run_result"], answer["compile_result"]) == ("SandboxError", None, None)
    assert words in answer["message"]


def test_files_come_and_go_in_base64(client: TestClient) -> None:
    code = "import shutil\nshutil.copy('in/flag.txt', 'out.txt')\nopen('/tmp/b.bin', 'wb').write(bytes(range(256)))"
    flag = base64.b64encode(b"secret").decode()
    names = ["out.txt", "/tmp/b.bin", "missing"]
    answer = run(client, code, files={"in/flag.txt": flag, "/tmp/absolute": flag, "none": None}, fetch_files=names)
    assert answer["status"] == "Success", answer
    assert answer["files"] == {"out.txt": flag, "/tmp/b.bin": base64.b64encode(bytes(range(256))).decode()}


def test_a_link_is_not_fetched(client: TestClient) -> None:
    answer = run(client, "import os; os.symlink('/etc/hostname', 'link')", fetch_files=["link"])
    assert (answer["status"], answer["files"]) == ("Success", {})


def test_a_failure_of_the_host_is_an_error_of_the_sandbox(failing_client: TestClient) -> None:
    answer = run(failing_client, "print(1)")
    assert (answer["status"], answer["run_result"]) == ("SandboxError", None)
    assert "no process is left" in answer["message"]


def test_a_server_without_room_says_what_their_clients_try_again(busy_client: TestClient) -> None:
    response = busy_client.post("/run_code", json={"code": "print(1)", "language": "python"})
    assert response.status_code == 504
    assert int(response.headers["retry-after"]) >= 1
    assert "queue is full" in response.json()["detail"]


def test_a_body_of_another_shape_is_refused(client: TestClient) -> None:
    response = client.post("/run_code", json={"language": "python"})
    assert (response.status_code, response.json()) == (422, {"detail": "code: Field required"})


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.AC])
def test_no_failing_verdict_has_return_code_0(verdict: Verdict) -> None:
    for exit_code, killed in ((0, None), (None, None), (None, 11), (5, None)):
        result = RunResult(
            verdict=verdict, stdout=b"", stderr=b"", exit_code=exit_code, signal=killed, message="", cpu_s=0.0,
            wall_s=0.0, peak_memory_bytes=MIB, enforcement="userns",
        )  # fmt: skip
        assert return_code_of(result) != 0
