"""The example of docs/client.md prints what stands below it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.client.addresses import ENVIRONMENT

PAGE = Path(__file__).resolve().parents[3] / "docs" / "client.md"


def test_the_example_prints_what_it_says(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, start_server().url)
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block, {})
    assert printed.getvalue().splitlines() == re.findall(r"^# (.*)$", block, re.MULTILINE)
