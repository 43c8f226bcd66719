"""Two servers in containers, on two nodes of a real Slurm, judge while the job of one is cancelled."""

import ast
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rewards import load_problems
from sandbox import Problem, Verdict
from sandbox.client import SandboxClient
from sandbox.extraction import extract_code

TOTAL = 2000
CANCEL_AT = 500


class Completion(NamedTuple):
    problem: Problem
    text: str
    verdict: Verdict


@pytest.fixture
def image() -> Path:
    if shutil.which("apptainer") is None:
        pytest.skip("Apptainer is not installed here")
    if not os.environ.get("QRPO_TEST_IMAGE"):
        pytest.skip(
            "QRPO_TEST_IMAGE is not set to an image with Python, numpy and sortedcontainers (.ci/image makes it)"
        )
    return Path(os.environ["QRPO_TEST_IMAGE"])


@pytest.fixture
def completions(data_dir: Path) -> list[Completion]:
    """Ten for each of the 200 problems with the fewest tests: four right, and six wrong in ways that are known."""
    path = data_dir / "LeetCodeDataset-v0.3.0-test.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there (CONTRIBUTING.md)")
    # Helpers of tests on lists and trees fail on a wrong answer of another type, which is RE and not WA.
    plain = [entry for entry in load_problems(path) if "Node" not in (entry.solution or "")]
    entries = sorted(plain, key=lambda entry: sum(map(len, entry.problem.tests)))[: TOTAL // 10]
    return [made for entry in entries for made in completions_of(entry.problem, entry.solution or "")]


def completions_of(problem: Problem, solution: str) -> list[Completion]:
    def fenced(code: str) -> str:
        return f"It is simple:\n\n```python\n{code}\n```\n"

    wrong = with_bodies(solution, "return 'no such answer'")
    crash = with_bodies(solution, "raise ArithmeticError")
    return [
        *(Completion(problem, fenced(f"{solution}\n# {number}"), Verdict.AC) for number in range(4)),
        *(Completion(problem, fenced(f"{wrong}\n# {number}"), Verdict.WA) for number in range(2)),
        *(Completion(problem, fenced(f"{crash}\n# {number}"), Verdict.RE) for number in range(2)),
        Completion(problem, fenced(solution.replace("return", "return )", 1)), Verdict.CE),
        Completion(problem, "I cannot say.", Verdict.NO_CODE),
    ]


def with_bodies(source: str, statement: str) -> str:
    """The program with this statement in place of every function's body, but for constructors."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            node.body = ast.parse(f"def f():\n    {statement}").body[0].body
    return ast.unparse(tree)


def metrics(server: dict[str, Any]) -> str:
    token = Path(server["path"]).with_suffix(".token").read_text().strip()
    request = urllib.request.Request(f"{server['url']}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def judged(text: str) -> int:
    found = re.findall(r'^qrpo_sandbox_submissions_total\{kind="judge",outcome="[A-Z_]+"\} (\S+)', text, re.MULTILINE)
    return round(sum(map(float, found)))


def test_two_thousand_completions_are_judged_once_and_rightly_while_one_job_is_cancelled(
    fleet: Any, two_nodes: list[str], image: Path, completions: list[Completion]
) -> None:
    assert len(completions) == TOTAL
    options = ["--nodes", "2", "--runtime", "apptainer", "--image", str(image), *two_nodes]
    fleet.told("up", *options, "--wait", "150")
    first, second = (job for job in fleet.told("status")["jobs"] if job["state"] == "RUNNING")
    assert first["node"] != second["node"]
    found: list[tuple[int, Verdict]] = []
    before: dict[str, int] = {}
    with SandboxClient(fleet.folder) as client:
        todo = ((item.problem, extract_code(item.text)) for item in completions)
        for index, result in client.judge_as_completed(todo):
            found.append((index, result.verdict))
            if len(found) == CANCEL_AT:
                texts = {job["id"]: metrics(job["server"]) for job in (first, second)}
                before = {job: judged(text) for job, text in texts.items()}
                depth = re.search(r"^qrpo_sandbox_queue_depth (\S+)", texts[first["id"]], re.MULTILINE)
                subprocess.run(["scancel", first["id"]], check=True)
                replacement = subprocess.Popen(fleet.words("up", *options), stdout=subprocess.DEVNULL)
    assert replacement.wait(timeout=60) == 0
    # All results, right, each once.
    assert sorted(index for index, _ in found) == list(range(TOTAL))
    wrong = [
        (completions[index].problem.id, completions[index].verdict, got)
        for index, got in found
        if got is not completions[index].verdict
    ]
    assert wrong == []
    # Both servers worked; that which was cancelled had work then, and the other went on.
    assert min(before.values()) > 50
    assert depth is not None
    assert float(depth[1]) > 0
    after = {job["id"]: job for job in fleet.told("status")["jobs"]}
    assert after[first["id"]]["state"] in {"CANCELLED", "COMPLETING"}
    assert judged(metrics(after[second["id"]]["server"])) > before[second["id"]] + 100
    assert "finishing what was accepted" in fleet.logs()[first["id"]]
    assert "finishing what was accepted" not in fleet.logs()[second["id"]]
