"""Lines from parts of any size."""

from __future__ import annotations


class LineSplitter:
    """Joins a line's parts when its end has come, not one by one: output of a program may make it 100 MB long."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self.rest_bytes = 0
        """Of a line that has no end yet."""

    def lines_with(self, part: bytes) -> list[bytes]:
        """The lines that a part ends, without their ends."""
        first, *others = part.split(b"\n")
        self._rest.append(first)
        self.rest_bytes += len(first)
        if not others:
            return []
        lines = [b"".join(self._rest), *others[:-1]]
        self._rest = [others[-1]]
        self.rest_bytes = len(others[-1])
        return lines
