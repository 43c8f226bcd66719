"""How a problem is put to a model: short, one code block asked for."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from sandbox.problem import Problem
from sandbox.worker.languages import PYTHON

COMPLETE_REQUEST: Final = "Complete this Python function. Answer with the whole function in one ```python block."


def code_request(statement: str, signature: str, example: str | None = None) -> str:
    """A statement, the stub to be filled and, if given, an example.

    The example must not be among the problem's tests, else its answer can be copied.
    """
    parts = [statement, fenced(f"{signature}\n    ...")]
    if example:
        parts.append(f"Example: {example}")
    parts.append("Answer with the whole function in one ```python block.")
    return "\n".join(parts)


def fenced(code: str, language: str = PYTHON) -> str:
    """The code as a block of Markdown."""
    return f"```{language}\n{code.rstrip()}\n```"


_ANSWER = re.compile(r"^### Answer\b", re.MULTILINE)
"""Where LeetCodeDataset's later prompts end in the beginning of an answer."""


def with_prelude(problem: Problem) -> Problem:
    """The problem with a prompt that shows the prelude: what a program may use without defining or importing it.

    A problem without prelude stays as it is.
    """
    if not problem.prelude.strip():
        return problem
    told = (
        "This code runs ahead of yours. Use what it defines without repeating it, and import whatever else you need.\n"
        f"{fenced(problem.prelude.strip())}\n"
    )
    headings = list(_ANSWER.finditer(problem.prompt))
    at = headings[-1].start() if headings else len(problem.prompt)
    before, after = problem.prompt[:at].rstrip(), problem.prompt[at:]
    return dataclasses.replace(problem, prompt=f"{before}\n\n{told}" + (f"\n{after}" if after else ""))
