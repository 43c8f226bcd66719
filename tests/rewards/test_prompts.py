from __future__ import annotations

from rewards.prompts import code_request
from sandbox.extraction import extract_code


def test_a_request_shows_statement_stub_and_example_and_asks_for_a_block() -> None:
    prompt = code_request("Add one.", "def f(n):", "f(1) == 2")
    assert extract_code(prompt, "first") == "def f(n):\n    ..."
    assert "Add one." in prompt
    assert "f(1) == 2" in prompt
    assert "```python block" in prompt
