"""The options `--runtime` and `--image` of all commands that run programs."""

from __future__ import annotations

from typing import Annotated

import typer

from containers.choice import RuntimeName, chosen
from containers.runtime import Runtime
from sandbox.pool import DEFAULT_PACKAGES

RuntimeOption = Annotated[
    RuntimeName | None,
    typer.Option(help="Where programs run (default: where --image can, else the host).", show_default=False),
]
ImageOption = Annotated[
    str | None,
    typer.Option(help="What they run in: a folder, a SIF, a squashfs, or docker://NAME.", show_default=False),
]


def runtime_of(name: RuntimeName | None, image: str | None) -> Runtime:
    """The runtime, its image unpacked on this node.

    Raises:
        ContainerError: an image is missing or has no meaning, or what would run it is not installed.
    """
    return chosen(name, image, DEFAULT_PACKAGES)
