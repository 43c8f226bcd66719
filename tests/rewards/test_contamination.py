"""Tests that prompts show, and problems that two sets share."""

import pytest

from rewards import Problem, load_builtin
from rewards.contamination import duplicates, shown_tests
from sandbox import Kind, StdioTest

LEETCODE = """Return the largest sum. You may assume that k = 12 never happens.

Example 1:

Input: nums = [1, -2, 3], s = "a b", deep = false
Output: [2.5, null]
Explanation: ...

Input: nums = [7],  s = "x", deep = true
Output: 10
"""


def leetcode(test: str, prompt: str = LEETCODE) -> list[int]:
    check = f"def check(candidate):\n    assert candidate(nums=[9]) == 9\n    {test}\n"
    return shown_tests(Problem(id="p", prompt=prompt, tests=(check,), entry_point="Solution().f"))


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("assert candidate(nums = [1,-2,3], s = 'a b', deep = False) == [2.5, None]", [1]),
        ('assert candidate(nums = [7], s = "x", deep = True) == 10', [1]),
        ('assert candidate(nums = [7], s = "x", deep = True) == 1', []),  # 10 is another number
        ('assert candidate(nums = [7], s = "x", deep = True) == [2.5, None]', []),  # of another example
        ("assert candidate(nums = [1,-2], s = 'a b', deep = False) == [2.5, None]", []),
        ("assert candidate(nums = [1,-2,3], s = 'ab', deep = False) == [2.5, None]", []),
        ("assert candidate(k = 1) == 2", []),
        ("assert candidate(nums = [7], s = 'x', deep = True) != 10", []),
    ],
)
def test_an_example_is_the_input_with_its_output(test: str, found: list[int]) -> None:
    assert leetcode(test) == found


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("def add(a, b):\n    >>> add(1, 2)\n    3\n", [0]),
        ("For example, add(1, 2) == 3.", [0]),
        ("For example, add(1, 2) returns 3.", [0]),
        ("For example, plus(1, 2) == 3.", []),
        ("add(1, 2) is easy. There are a great many other numbers than 3.", []),
        ("Add 1, 2 and 3.", []),
    ],
)
def test_positional_arguments_are_shown_as_a_call(prompt: str, found: list[int]) -> None:
    tests = ("assert add(1, 2) == 3", "assert add(2, 2) == 4")
    assert shown_tests(Problem(id="p", prompt=prompt, tests=tests)) == found


def test_standard_input_is_shown_below_its_heading() -> None:
    tests = (StdioTest(stdin="2\n1 2\n", stdout="3\n"), StdioTest(stdin="1\n5\n", stdout="5\n"))
    problem = Problem(
        id="p", kind=Kind.STDIO, tests=tests, prompt="Sum them up: 1 5 5\n\nInput\n2\n1  2\n\nOutput\n3\n"
    )
    assert shown_tests(problem) == [0]


def test_our_own_problems_show_none_of_their_tests() -> None:
    assert [entry.problem.id for entry in load_builtin() if shown_tests(entry.problem)] == []


STATEMENT = "Given a list of whole numbers find the longest run that rises and say where it begins and how long it is"


def asked(name: str, prompt: str) -> Problem:
    return Problem(id=name, prompt=prompt, tests=("assert f()",))


def others(word: str) -> list[Problem]:
    return [asked(f"{word}{k}", " ".join(f"{word}{k}x{place}" for place in range(30))) for k in range(20)]


@pytest.mark.parametrize(
    ("prompt", "overlap"),
    [
        (STATEMENT.upper() + "!", 1.0),
        (STATEMENT + ". " + " ".join(f"more{k}" for k in range(40)), 1.0),  # the shorter one is in it
        (STATEMENT.replace("run", "stretch"), 0.47),  # 8 of 15 runs of eight words have that word
        ("Something else altogether that has no eight words in common with it at all, believe me", None),
        ("Too short", None),
    ],
)
def test_overlap_is_the_share_of_common_runs_of_eight_words(prompt: str, overlap: float | None) -> None:
    train, heldout = [*others("t"), asked("mine", prompt)], [*others("h"), asked("theirs", STATEMENT)]
    found = duplicates(train, heldout, least=0.1)
    assert [(pair.train_id, pair.heldout_id) for pair in found] == ([("mine", "theirs")] if overlap else [])
    assert [pair.overlap for pair in found] == pytest.approx([overlap] if overlap else [], abs=0.01)
    assert len(duplicates(train, heldout)) == (overlap is not None and overlap >= 0.5)


def test_short_prompts_are_the_same_only_if_equal() -> None:
    found = duplicates([asked("a", "Reverse a text."), asked("b", "Reverse it")], [asked("c", "reverse a TEXT")])
    assert [(pair.train_id, pair.overlap) for pair in found] == [("a", 1.0)]


def test_phrases_that_all_problems_of_a_set_have_do_not_count() -> None:
    frame = "Please be so kind as to complete the following Python code precisely as it is asked for: "
    train = [asked(f"t{k}", frame + problem.prompt) for k, problem in enumerate(others("t"))]
    heldout = [asked(f"h{k}", frame + problem.prompt) for k, problem in enumerate(others("h"))]
    assert duplicates(train, heldout, least=0.01) == []
