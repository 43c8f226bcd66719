"""Reads what a user has written, and says where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from slurm.errors import DescriptionError
from slurm.experiments.description import Description


def load(path: Path, changes: Sequence[str] = ()) -> Description:
    """Reads a description.

    Args:
        path: the file.
        changes: `NAME=VALUE`, over its `variables`; a value is YAML.

    Raises:
        DescriptionError: the file cannot be read, or does not say an experiment; names the place.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a SafeLoader
        given = dict(_change(change) for change in changes)
    except RecursionError:
        raise DescriptionError(f"{path}: it is nested too deeply") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError is a date's, or of bytes that are no text
        raise DescriptionError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise DescriptionError(f"{path}: an experiment is a mapping with name and stages, not {type(found).__name__}")
    variables = found.get("variables") or {}
    if given and isinstance(variables, dict):
        unknown = sorted(given.keys() - variables.keys())
        if unknown:
            raise DescriptionError(f"{path}: there is no variable {unknown[0]!r}; there are {', '.join(variables)}")
        found["variables"] = {**variables, **given}
    try:
        description = Description.model_validate(found)
        for name in description.stages:
            description.resources_of(name)
    except ValidationError as error:
        raise DescriptionError(_words(path, found, error)) from error
    return description


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """YAML that refuses a key twice, and reads 1e-6 as the number that everybody means."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = [key for place, key in enumerate(keys) if key in keys[:place]]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} is there twice", node.start_mark)
        found: dict[object, object] = super().construct_mapping(node, deep)
        return found


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def _change(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise DescriptionError(f"{text!r}: expected NAME=VALUE")
    return name, yaml.load(value, _Loader)  # noqa: S506  # as above


def _words(path: Path, found: object, error: ValidationError) -> str:
    """The errors of pydantic, each on a line that begins with its place in the file."""
    items = [(_place(found, item), item["msg"]) for item in error.errors(include_url=False)]
    # Of what may be one thing or another pydantic says how it is neither: the one that was meant fails further in.
    further = {place[:length] for place, _ in items for length in range(len(place))}
    lines = [
        f"{'.'.join(map(str, place))}: {words.removeprefix('Value error, ')}"
        for place, words in items
        if place not in further
    ]
    return f"{path}: " + "\n  ".join(dict.fromkeys(lines))


def _place(found: object, error: ErrorDetails) -> tuple[int | str, ...]:
    """Less the parts that name a type of pydantic's."""
    place: list[int | str] = []
    parts = error["loc"]
    lacking = parts[len(parts) - 1 :] if error["type"] == "missing" else ()
    for part in parts[: len(parts) - len(lacking)]:
        within = dict(enumerate(found)) if isinstance(found, list) else found
        if isinstance(within, dict) and part in within:
            found = within[part]
            place.append(part)
    return (*place, *lacking)
