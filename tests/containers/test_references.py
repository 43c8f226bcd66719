from pathlib import Path

import pytest

from containers.references import Kind, kind_of
from containers.runtime import ContainerError


def test_what_can_be_pulled_is_known_by_its_scheme(tmp_path: Path) -> None:
    assert {kind_of(f"{scheme}://python:3.12") for scheme in ("docker", "oras", "library")} == {Kind.PULLED}
    with pytest.raises(ContainerError, match=r"ftp://x cannot be pulled; docker://"):
        kind_of("ftp://x")


def test_files_are_known_by_how_they_begin(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"hsqs" + bytes(100))
    assert kind_of(str(file)) is Kind.SQUASHFS
    file.write_bytes(b"#!/usr/bin/env run-singularity\n".ljust(32, b"\0") + b"SIF_MAGIC\0")
    assert kind_of(str(file)) is Kind.SIF
    assert kind_of(str(tmp_path)) is Kind.FOLDER


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"SIF_MAGIC"])
def test_other_files_are_no_images(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "image"
    file.write_bytes(content)
    with pytest.raises(ContainerError, match="neither a SIF nor a squashfs: it begins with"):
        kind_of(str(file))


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(ContainerError, match=r"there is no image at /no/such; name a folder"):
        kind_of("/no/such")
