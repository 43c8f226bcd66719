from __future__ import annotations

from rewards.prompts import code_request, with_prelude
from sandbox import Problem
from sandbox.extraction import extract_code


def test_a_request_shows_statement_stub_and_example_and_asks_for_a_block() -> None:
    prompt = code_request("Add one.", "def f(n):", "f(1) == 2")
    assert extract_code(prompt, "first") == "def f(n):\n    ..."
    assert "Add one." in prompt
    assert "f(1) == 2" in prompt
    assert "```python block" in prompt


def test_a_prelude_is_shown_ahead_of_the_beginning_of_an_answer_and_nowhere_else() -> None:
    problem = Problem(id="p", prompt="Add.\n### Answer: x\n", prelude="import math\n\n", tests=("assert f()",))
    shown = with_prelude(problem).prompt
    assert shown.startswith("Add.\n\nThis code runs ahead of yours.")
    assert shown.endswith("```python\nimport math\n```\n\n### Answer: x\n")
    plain = Problem(id="p", prompt="Add.", prelude=" \n", tests=("assert f()",))
    assert with_prelude(plain) is plain
