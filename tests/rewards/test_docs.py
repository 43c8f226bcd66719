"""The examples of docs/rewards.md print what stands below them; those of docs/integrations.md fit our own API."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from rewards import load_builtin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rewards.md"


def blocks_of(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_examples_print_what_they_say() -> None:
    blocks = blocks_of(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block, names)
        promised = re.findall(r"^# (.*)$", block, re.MULTILINE)
        assert printed.getvalue().splitlines() == promised


def test_the_function_for_openrlhf_gives_a_reward_for_each_answer() -> None:
    pytest.importorskip("torch", reason="torch comes with the extra `train`")
    text = (PAGE.parent / "integrations.md").read_text(encoding="utf-8")
    [block] = [block for block in blocks_of(text) if "def reward_func(" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    entry = load_builtin()[0]
    queries = [f"{entry.problem.prompt}```python\n{entry.solution}\n```", f"{entry.problem.prompt}I cannot."]
    with names["reward"]:
        given = names["reward_func"](queries, [entry.problem.prompt] * 2, [entry.problem.id] * 2)
    assert given["rewards"].tolist() == given["scores"].tolist() == [1.0, 0.0]


def test_the_problems_of_all_examples_of_integrations_are_there() -> None:
    text = (PAGE.parent / "integrations.md").read_text(encoding="utf-8")
    lines = [line for block in blocks_of(text) for line in block.splitlines() if line.startswith("PROBLEMS = ")]
    assert len(lines) == 2
    for line in lines:
        names: dict[str, Any] = {"load_builtin": load_builtin}
        exec(line, names)
        assert names["PROBLEMS"].keys() == {entry.problem.id for entry in load_builtin()}
