"""Problems whose programs read stdin and write stdout, one list of inputs beside one of outputs."""

from __future__ import annotations

from pydantic import Field

from rewards.entry import Entry
from sandbox.problem import Kind, Problem, StdioTest
from sandbox.records import CheckerRecord, LimitsRecord, StrictRecord

Text = str | list[str]
"""A text, or its lines."""


class StdioRow(StrictRecord):
    """The plainest row: nothing but texts."""

    id: str
    prompt: str
    inputs: list[Text] = Field(min_length=1)
    outputs: list[Text] = Field(min_length=1)
    checker: CheckerRecord | None = None
    limits: LimitsRecord = LimitsRecord()
    solution: str | None = None
    meta: dict[str, str] = Field(default_factory=dict)

    def to_entry(self) -> Entry:
        """The problem as it stands.

        Raises:
            ValueError: inputs and outputs differ in number, or the checker or a limit is out of range.
        """
        problem = Problem(
            id=self.id,
            prompt=self.prompt,
            kind=Kind.STDIO,
            tests=stdio_tests(self.inputs, self.outputs),
            checker=None if self.checker is None else self.checker.to_checker(self.id),
            limits=self.limits.to_limits(),
            meta=self.meta,
        )
        return Entry(problem, self.solution)


def stdio_tests(inputs: list[Text], outputs: list[Text]) -> tuple[StdioTest, ...]:
    """One test for each pair.

    Raises:
        ValueError: they differ in number, so some input has no answer.
    """
    if len(inputs) != len(outputs):
        raise ValueError(f"{len(inputs)} inputs but {len(outputs)} outputs; each input needs one output")
    return tuple(
        StdioTest(stdin=_joined(given), stdout=_joined(expected))
        for given, expected in zip(inputs, outputs, strict=True)
    )


def _joined(text: Text) -> str:
    """Lines as one text that ends in a newline, as a file of tests would."""
    return text if isinstance(text, str) else "".join(f"{line}\n" for line in text)
