from __future__ import annotations

from rewards.formats.bigcodebench import BigCodeBenchRow
from rewards.formats.detection import detect_format
from sandbox import Kind, Sandbox, Verdict

HEAD = "import random\n\ndef task_func(n):\n"
ROW = {
    "task_id": "BigCodeBench/9000",
    "complete_prompt": HEAD + '    """n throws of a die."""\n',
    "instruct_prompt": "Throw a die n times.",
    "canonical_solution": "    return [random.randint(1, 6) for _ in range(n)]",
    "code_prompt": HEAD,
    "test": """
import unittest
from unittest.mock import patch
class TestCases(unittest.TestCase):
    def test_length(self):
        self.assertEqual(len(task_func(3)), 3)
    @patch("random.randint", return_value=4)
    def test_die(self, randint):
        self.assertEqual(task_func(2), [4, 4])
""",
    "entry_point": "task_func",
    "doc_struct": "{}",
    "libs": "['random']",
}


def test_the_solution_passes_the_tests_and_an_empty_one_does_not(box: Sandbox) -> None:
    assert detect_format(ROW) == "bigcodebench"
    problem, solution, *_ = BigCodeBenchRow.model_validate(ROW).to_entry()
    assert (problem.id, problem.kind, problem.prompt) == ("BigCodeBench/9000", Kind.SHARED, "Throw a die n times.")
    result = box.judge(problem, solution)
    assert (result.verdict, result.total, result.tamper_proof) == (Verdict.AC, 2, False)
    assert box.judge(problem, HEAD + "    return []").verdict is Verdict.WA
