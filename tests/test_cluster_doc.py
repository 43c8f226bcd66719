"""What docs/cluster.md quotes and links is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "cluster.md").read_text()


def quotes() -> list[str]:
    rows = TEXT.partition("## What failures look like")[2].splitlines()[4:]
    return [quote for row in rows for quote in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def texts() -> Iterator[str]:
    """Every string of ours; what is filled in is a line's end."""
    for path in (path for package in ("containers", "sandbox", "slurm") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\n" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.fixture(scope="module")
def all_texts() -> str:
    return "\0".join(texts()).replace("`", "")


@pytest.mark.parametrize("quote", quotes())
def test_words_of_a_failure_are_ours(quote: str, all_texts: str) -> None:
    is_ours = quote in all_texts  # a name, or what fails is told with all of our texts
    assert is_ours


def test_all_failures_are_looked_for() -> None:
    assert len(quotes()) > 20


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize("anchor", re.findall(r"\(#([^)]+)\)", TEXT))
def test_a_link_within_the_page_leads_to_a_heading(anchor: str) -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    assert anchor in headings
