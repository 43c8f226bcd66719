"""How a problem is put to a model: short, one code block asked for."""

from __future__ import annotations

from typing import Final

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


def fenced(code: str) -> str:
    """The code as a Python block of Markdown."""
    return f"```python\n{code.rstrip()}\n```"
