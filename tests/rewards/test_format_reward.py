from __future__ import annotations

import asyncio

import pytest

from rewards.format_reward import FormatReward
from sandbox import Sandbox

COMPLETIONS = [
    "```python\ndef f(n):\n    return n\n```",
    "```python\nraise SystemExit(1)\n```",
    "```python\ndef f(n) return n\n```",
    "def f(n): return n",
    "```python\n" + "(" * 100_000 + "\n```",
]
EXPECTED = [1.0, 1.0, 0.0, 0.0, 0.0]


def test_a_code_block_that_compiles_is_1_whatever_it_does(box: Sandbox) -> None:
    assert FormatReward(sandbox=box)(prompts=[], completions=COMPLETIONS, completion_ids=[]) == EXPECTED


def test_the_asynchronous_twin_gives_the_same(box: Sandbox) -> None:
    reward = FormatReward(sandbox=box).asynchronous
    assert asyncio.run(reward(prompts=[], completions=COMPLETIONS, completion_ids=[])) == EXPECTED
    assert reward.__name__ == "format"


def test_programs_may_be_in_another_language(box: Sandbox) -> None:
    if "c" not in box.languages:
        pytest.skip("this machine has no C compiler")
    texts = ["```c\nint main(void) { return 0; }\n```", "```c\nint main( { return 0; }\n```"]
    assert FormatReward(sandbox=box, language="c")(prompts=[], completions=texts) == [1.0, 0.0]


def test_it_starts_a_sandbox_of_its_own_and_ends_it() -> None:
    with FormatReward(workers=1) as reward:
        assert reward(prompts=[], completions=COMPLETIONS[:1]) == [1.0]
