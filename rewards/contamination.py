"""What a model could copy instead of solving: tests that a prompt shows, and problems that two sets share."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rewards.cases import function_cases
from sandbox.problem import Kind, Problem, StdioTest

_TOKEN = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\w+|\S")
_SPELLINGS = {"'": '"', "True": "true", "False": "false", "None": "null"}
"""Statements spell values as LeetCode does, tests as Python does."""
_GAP = 6
"""Tokens between an example's input and its output, such as `Output :`; more would be another sentence."""
_WORD = re.compile(r"[a-z0-9]+")
_COMMON = 0.01
"""n-grams in a larger share of a set's problems are the set's own phrases, not a problem's."""


class Duplicate(NamedTuple):
    """A problem of one set that another set has as well."""

    train_id: str
    heldout_id: str
    overlap: float
    """Shared n-grams, as a share of those of the shorter statement; 1 where the texts are equal."""


def shown_tests(problem: Problem) -> list[int]:
    """Places, in the judge's order, of tests whose input and expected output the prompt shows as an example.

    An example is the input, letter for letter but for spaces and quotes, with its output a few tokens further on.
    Inputs are looked for as `name = value, ...` where the test names its arguments, and else as a call. Tests of kind
    `shared`, and those that do more than to compare one call with a value, are never found.
    """
    prompt = _tokens(problem.prompt)
    places: dict[str, list[int]] = defaultdict(list)
    for place, token in enumerate(prompt):
        places[token].append(place)
    return [
        index for index, example in _examples(problem) if example is not None and _stands_in(prompt, places, example)
    ]


def duplicates(
    train: Sequence[Problem], heldout: Sequence[Problem], *, size: int = 8, least: float = 0.5
) -> list[Duplicate]:
    """Problems of both sets with equal or overlapping prompts; for each held-out problem those that overlap enough.

    Args:
        train: one set.
        heldout: the other.
        size: words in an n-gram. Prompts of fewer words are compared as a whole only.
        least: overlap from which two are duplicates, in (0, 1].
    """
    texts = {
        False: [_words(problem.prompt) for problem in train],
        True: [_words(problem.prompt) for problem in heldout],
    }
    grams = {which: [_grams(words, size) for words in found] for which, found in texts.items()}
    common = _common(grams[False]) | _common(grams[True])
    where: dict[int, list[int]] = defaultdict(list)
    own = [found - common for found in grams[False]]
    for index, found in enumerate(own):
        for gram in found:
            where[gram].append(index)
    whole: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, words in enumerate(texts[False]):
        whole[tuple(words)].append(index)
    result = []
    for problem, words, found in zip(heldout, texts[True], grams[True], strict=True):
        overlaps = dict.fromkeys(whole.get(tuple(words), ()), 1.0)
        mine = found - common
        for index, shared in Counter(index for gram in mine for index in where.get(gram, ())).items():
            overlap = shared / min(len(mine), len(own[index]))
            if overlap >= least:
                overlaps[index] = max(overlap, overlaps.get(index, 0.0))
        result += [Duplicate(train[index].id, problem.id, value) for index, value in sorted(overlaps.items())]
    return result


class _Example(NamedTuple):
    """A test as a statement would show it, in tokens."""

    given: tuple[str, ...]
    expected: tuple[str, ...]
    needs_heading: bool
    """Only where a word like `Input` stands right ahead: bare numbers are everywhere."""


def _examples(problem: Problem) -> Iterator[tuple[int, _Example | None]]:
    if problem.kind is Kind.STDIO:
        for index, test in enumerate(problem.tests):
            assert isinstance(test, StdioTest)
            yield index, _Example(tuple(_tokens(test.stdin)), tuple(_tokens(test.stdout)), needs_heading=True)
    elif problem.kind is Kind.FUNCTION:
        sources = [piece.encode().splitlines(keepends=True) for piece in problem.tests if isinstance(piece, str)]
        for index, case in enumerate(function_cases(problem)):
            yield index, _example(case.statement, sources[case.piece], problem)


def _example(statement: ast.stmt, lines: Sequence[bytes], problem: Problem) -> _Example | None:
    test = statement.test if isinstance(statement, ast.Assert) else None
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return None
    call, expected = test.left, test.comparators[0]
    if not isinstance(call, ast.Call) or not (call.args or call.keywords):
        return None
    parts = [_source(node, lines) for node in call.args]
    parts += [f"{keyword.arg} = {_source(keyword.value, lines)}" for keyword in call.keywords]
    given = ", ".join(parts)
    if call.args:
        name = _source(call.func, lines)
        if name == "candidate" and problem.entry_point is not None:
            name = problem.entry_point
        given = f"{name.rpartition('.')[2]}({given})"
    return _Example(tuple(_tokens(given)), tuple(_tokens(_source(expected, lines))), needs_heading=False)


def _source(node: ast.expr, lines: Sequence[bytes]) -> str:
    """The text of an expression; `ast.get_source_segment` splits all of the source anew for each."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    picked = list(lines[node.lineno - 1 : node.end_lineno])
    picked[-1] = picked[-1][: node.end_col_offset]
    picked[0] = picked[0][node.col_offset :]
    return b"".join(picked).decode()


def _stands_in(prompt: Sequence[str], places: Mapping[str, Sequence[int]], example: _Example) -> bool:
    given, expected = list(example.given), list(example.expected)
    if not given or not expected:
        return False
    for start in places.get(given[0], ()):
        end = start + len(given)
        if prompt[start:end] != given:
            continue
        if example.needs_heading and not any("input" in token.lower() for token in prompt[max(0, start - 4) : start]):
            continue
        if any(prompt[at : at + len(expected)] == expected for at in range(end, end + _GAP + 1)):
            return True
    return False


def _tokens(text: str) -> list[str]:
    return [_SPELLINGS.get(token, token) for token in _TOKEN.findall(text)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str], size: int) -> frozenset[int]:
    return frozenset(
        int.from_bytes(hashlib.blake2b(" ".join(words[start : start + size]).encode(), digest_size=8).digest(), "big")
        for start in range(len(words) - size + 1)
    )


def _common(grams: Iterable[frozenset[int]]) -> frozenset[int]:
    """Those that more than a hundredth of the problems have, and more than two."""
    sets = list(grams)
    most = max(2.0, _COMMON * len(sets))
    return frozenset(gram for gram, count in Counter(gram for found in sets for gram in found).items() if count > most)
