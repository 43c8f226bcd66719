"""What a program is given besides its stdin, and what is kept of what it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sandbox.level import Level
from sandbox.worker.languages import LANGUAGES

_MOST_FILES = 1000
_MOST_FETCHED = 64
_MOST_NAME = 200
_MOST_PARTS = 16
_MOST_ARGUMENTS = 256
_MOST_ARGUMENT_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Arguments and files of one run. Checked when built.

    Names of files are paths below the program's working folder. Files given come on top of the limits of memory and
    disk; they are there when the program is compiled, too, so that it can include or import them.

    Raises:
        ValueError: a name leads out of the folder or cannot be a file beside the others, or there is too much.
    """

    arguments: tuple[str, ...] = ()
    """Of the program's command line, without its own name."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Written before it starts."""
    fetch: tuple[str, ...] = ()
    """Read after its end, where they are plain files, and together no larger than `Limits.output_bytes`."""

    def __post_init__(self) -> None:
        for name in (*self.files, *self.fetch):
            _check_name(name)
        _check_count("files", self.files, _MOST_FILES)
        _check_count("fetch", self.fetch, _MOST_FETCHED)
        _check_count("arguments", self.arguments, _MOST_ARGUMENTS)
        if any("\0" in argument for argument in self.arguments):
            raise ValueError("an argument has a null character, which no command line can hold")
        size = sum(len(argument.encode("utf-8", "surrogateescape")) for argument in self.arguments)
        if size > _MOST_ARGUMENT_BYTES:
            raise ValueError(f"arguments have {size} bytes together; at most {_MOST_ARGUMENT_BYTES} are taken")
        for name in self.files:
            for folder in _folders_of(name):
                if folder in self.files:
                    raise ValueError(f"{folder!r} is a file, so that {name!r} cannot be one below it")

    def check(self, language: str, level: Level) -> None:
        """Raises ValueError where there can be no files, or one would take the place of the program itself."""
        if level is Level.LANDLOCK and (self.files or self.fetch):
            raise ValueError("no program at level 'landlock' can be given files, or leave any")
        for name in self.files:
            if name.split("/")[0] in LANGUAGES[language].own_names:
                raise ValueError(f"a file cannot be named {name!r}, which is where the {language} program itself lies")


def _check_name(name: str) -> None:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise ValueError(
            f"{name[:80]!r} is no path below the working folder: it must be relative, without `.` and `..`"
        )
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > _MOST_NAME or len(parts) > _MOST_PARTS:
        raise ValueError(
            f"the path {name[:80]!r} is too long; at most {_MOST_NAME} bytes and {_MOST_PARTS} parts are taken"
        )


def _check_count(what: str, found: Mapping[str, bytes] | tuple[str, ...], most: int) -> None:
    if len(found) > most:
        raise ValueError(f"{what}: {len(found)} are too many; at most {most} are taken")


def _folders_of(name: str) -> Iterable[str]:
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


NOTHING = Surroundings()
