"""The code in a completion: which fenced block of Markdown is the program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

from sandbox.worker.languages import LANGUAGES, PYTHON, check_known

Which = Literal["last", "first"]

# CommonMark 4.5, except that any indentation may precede a fence: models put blocks into list items. Every pattern is
# matched at one place and without nested repeats, so that a hostile completion costs time linear in its length.
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})(?P<info>.*)")
_FENCE_CHARACTER = re.compile(r"[`~]")
_TAG = re.compile(r"[\w+#.-]*")
_MARKDOWN_TAGS = frozenset({"markdown", "md"})


class _Tags(NamedTuple):
    """How one language is named by fences."""

    tag: re.Pattern[str]
    """A tag in lower case."""
    late: re.Pattern[str]
    """An opening fence that may stand after some prose."""


@cache
def _tags_of(language: str) -> _Tags:
    tag = LANGUAGES[language].fence
    return _Tags(
        tag=re.compile(tag),
        late=re.compile(rf"(?P<marks>`{{3,}}|~{{3,}})[ \t]*(?P<info>{tag})[ \t]*", re.IGNORECASE),
    )


class _Fence(NamedTuple):
    """An opening or closing fence line."""

    indent: int
    marks: str
    info: str

    @property
    def tag(self) -> str:
        """Language in lower case, `""` for a bare fence; `{.python .numberLines}` and `python:main.py` are python."""
        match = _TAG.match(self.info.lstrip("{.").lower())
        return match.group() if match else ""

    def closes(self, opening: _Fence) -> bool:
        """Whether this line ends the block that `opening` began.

        A line indented by four or more columns than its opening does not: it belongs to a docstring.
        """
        return not self.info and self.fits(opening)

    def restarts(self, opening: _Fence) -> bool:
        """Whether this line begins a block although that of `opening` was never closed: ```` ``` ```` is no code."""
        return bool(self.info) and self.fits(opening)

    def fits(self, opening: _Fence) -> bool:
        """Same character, at least as many of them, and not indented into the block's own text."""
        same = self.marks[0] == opening.marks[0] and len(self.marks) >= len(opening.marks)
        return same and self.indent <= opening.indent + 3


def extract_code(completion: str, which: Which = "last", language: str = PYTHON) -> str | None:
    r"""The program in a completion.

    Blocks are fenced by backticks or tildes. Those tagged as the language (python, py, python3; cpp, c++, c++17; js,
    in any case) and those without a tag count; blocks in other languages and blank blocks do not. A block that the
    completion does not close ends with the completion. Line ends become `\n`, and a block in a list item loses the
    item's indentation.

    Args:
        completion: what the model wrote.
        which: `last` block, or `first` as the authors of QRPO do (arXiv 2507.08068).
        language: of the program; see `sandbox.worker.languages`.

    Returns:
        The block's text, or None where there is no block: verdict NO_CODE.

    Raises:
        ValueError: there is no such `which` or language.
    """
    if which not in ("last", "first"):
        raise ValueError(f"which is {which!r}; it must be 'last' or 'first'")
    check_known(language)
    found = None
    for code in _blocks(completion, _tags_of(language)):
        if which == "first":
            return code
        found = code
    return found


def _blocks(completion: str, tags: _Tags) -> Iterator[str]:
    """Texts of the language's blocks that are not blank, in order of their opening."""
    opening: _Fence | None = None
    in_markdown = 0  # blocks of Markdown around the current place; their closing fences must not open anything
    lines: list[str] = []
    for line in completion.replace("\r\n", "\n").split("\n"):
        fence = _read_fence(line, tags.late if opening is None else None)
        if fence is None or (opening is not None and not (fence.closes(opening) or fence.restarts(opening))):
            if opening is not None:
                lines.append(line)
            continue
        if opening is not None:
            yield from _block(opening, lines, tags)
        elif in_markdown and not fence.info:
            in_markdown -= 1
            continue
        closed = opening is not None and not fence.info
        opening, lines = (None if closed else fence), []
        if opening is not None and opening.tag in _MARKDOWN_TAGS:
            in_markdown += 1
            opening = None
    if opening is not None:
        yield from _block(opening, lines, tags)


def _read_fence(line: str, late: re.Pattern[str] | None) -> _Fence | None:
    """The fence on a line; `late` also accepts one that opens a block of the language after some prose."""
    match = _FENCE.fullmatch(line)
    if match is not None:
        info = match["info"].strip()
        # A backtick fence has no backtick after it on its line, else it is inline code.
        if match["marks"][0] == "`" and "`" in info:
            return None
        return _Fence(indent=_width(match["indent"]), marks=match["marks"], info=info)
    # Models also open a block at the end of a sentence ("Here it is: ```python"). Only an explicit tag counts there.
    start = _FENCE_CHARACTER.search(line) if late is not None else None
    match = None if start is None or late is None else late.fullmatch(line, start.start())
    return None if match is None else _Fence(indent=0, marks=match["marks"], info=match["info"])


def _block(opening: _Fence, lines: list[str], tags: _Tags) -> Iterator[str]:
    """The block's text if it is of the language and not blank, without the indentation of its opening fence."""
    is_ours = opening.tag == "" or tags.tag.fullmatch(opening.tag) is not None
    if is_ours and any(line.strip() for line in lines):
        yield "\n".join(_dedent(line, opening.indent) for line in lines)


def _dedent(line: str, columns: int) -> str:
    """Removes up to so many columns of leading white space (CommonMark 4.5)."""
    cut = width = 0
    while cut < len(line) and line[cut] in " \t":
        width += 1 if line[cut] == " " else 4 - width % 4
        if width > columns:
            break
        cut += 1
    return line[cut:]


def _width(indent: str) -> int:
    """Columns of white space; a tab counts 4."""
    return len(indent.expandtabs(4))
