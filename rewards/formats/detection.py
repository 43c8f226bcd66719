"""Which format a row has, told from its fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from rewards.formats.bigcodebench import BigCodeBenchRow
from rewards.formats.contest import ContestRow, LiveCodeBenchRow
from rewards.formats.humaneval import HumanEvalRow
from rewards.formats.leetcode import LeetCodeRow
from rewards.formats.mbpp import MbppFullRow, MbppSanitizedRow
from rewards.formats.native import NativeRow
from rewards.formats.stdio import StdioRow

Format = Literal[
    "native", "mbpp", "mbpp-sanitized", "bigcodebench", "humaneval", "leetcode", "stdio", "contest", "livecodebench"
]
Row = (
    BigCodeBenchRow
    | NativeRow
    | MbppFullRow
    | MbppSanitizedRow
    | HumanEvalRow
    | LeetCodeRow
    | StdioRow
    | ContestRow
    | LiveCodeBenchRow
)


class _Description(NamedTuple):
    """What a row of a format is, and the fields by which it is known."""

    row: type[Row]
    signs: frozenset[str]


# In the order of detection: the fields of a format are not all in a row of any format before it.
FORMATS: Final[Mapping[Format, _Description]] = MappingProxyType(
    {
        "mbpp": _Description(MbppFullRow, frozenset({"text", "code", "test_list"})),
        "mbpp-sanitized": _Description(MbppSanitizedRow, frozenset({"prompt", "code", "test_list"})),
        "bigcodebench": _Description(BigCodeBenchRow, frozenset({"complete_prompt", "instruct_prompt", "test"})),
        "humaneval": _Description(HumanEvalRow, frozenset({"canonical_solution", "entry_point", "test"})),
        "leetcode": _Description(LeetCodeRow, frozenset({"completion", "entry_point", "query"})),
        "livecodebench": _Description(LiveCodeBenchRow, frozenset({"public_test_cases", "private_test_cases"})),
        "contest": _Description(ContestRow, frozenset({"question", "input_output"})),
        "stdio": _Description(StdioRow, frozenset({"inputs", "outputs"})),
        "native": _Description(NativeRow, frozenset({"id", "tests"})),
    }
)


def detect_format(fields: Collection[str]) -> Format | None:
    """The format with these fields, None if there is no such."""
    return next((name for name, known in FORMATS.items() if known.signs <= set(fields)), None)
