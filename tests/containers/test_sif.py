from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.runtime import ContainerError
from containers.sif import _DESCRIPTOR, _HEADER, _PARTITION, squashfs_offset


def content_of(*partitions: tuple[bool, int, int, int], start: int = 128) -> bytes:
    """A SIF with these partitions: whether it is used, its format, its purpose, its offset."""
    header = _HEADER.pack(
        b"#!/usr/bin/env run-singularity\n", b"SIF_MAGIC\0", b"01\0", b"02\0", bytes(16),
        0, 0, 0, len(partitions), start, 585 * len(partitions), 0, 0,
    )  # fmt: skip
    descriptors = [
        _DESCRIPTOR.pack(0x4004, used, 1, 1, 0, offset, 0, 0, 0, 0, 0, 0, b"", _PARTITION.pack(form, purpose))
        for used, form, purpose, offset in partitions
    ]
    return header.ljust(start, b"\0") + b"".join(descriptors)


def test_sizes_are_those_of_the_specification() -> None:
    assert (_HEADER.size, _DESCRIPTOR.size) == (128, 585)


def test_the_primary_system_partition_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.sif"
    file.write_bytes(content_of((True, 1, 3, 111), (False, 1, 2, 222), (True, 1, 2, 36864), start=4096))
    assert squashfs_offset(file) == 36864


def test_a_real_one_has_a_squashfs_there(sif: Path) -> None:
    offset = squashfs_offset(sif)
    assert sif.read_bytes()[offset : offset + 4] == b"hsqs"


def test_an_encrypted_one_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.sif"
    file.write_bytes(content_of((True, 4, 2, 36864)))
    with pytest.raises(ContainerError, match="its format is 4; 4 is encrypted"):
        squashfs_offset(file)


def test_one_without_a_root_file_system_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.sif"
    file.write_bytes(content_of((True, 1, 3, 36864)))
    with pytest.raises(ContainerError, match="without a root file system"):
        squashfs_offset(file)


@settings(max_examples=200)
@given(cut=st.integers(0, 800), noise=st.binary(max_size=700), place=st.integers(0, 700))
def test_whatever_a_damaged_one_holds_only_that_is_told(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes, place: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "noise.sif"
    content = bytearray(content_of((True, 1, 2, 36864)))
    content[place : place + len(noise)] = noise
    file.write_bytes(content[:cut])
    try:
        assert isinstance(squashfs_offset(file), int)
    except ContainerError:
        pass
