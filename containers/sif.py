"""Where in a SIF its root file system lies.

Source: the SIF specification, version 1: a header of 128 bytes, then descriptors of 585, all little-endian.
"""

from __future__ import annotations

import struct
from pathlib import Path

from containers.runtime import ContainerError

_HEADER = struct.Struct("<32s10s3s3s16sqqqqqqqq")
_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
_PARTITION = struct.Struct("<ii")
"""How it is formatted, and what it is for: the first of what is particular to a partition."""
_IS_PARTITION, _IS_SQUASHFS, _IS_SYSTEM = 0x4004, 1, 2
_MOST_DESCRIPTORS = 1000


def squashfs_offset(path: Path) -> int:
    """Bytes before the squashfs with the root file system.

    Raises:
        ContainerError: the file is damaged, or its root file system is encrypted or no squashfs.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            *_, total, start, _size, _data, _data_size = _HEADER.unpack(file.read(_HEADER.size))
            file.seek(start)
            for _ in range(min(total, _MOST_DESCRIPTORS)):
                kind, is_used, _id, _group, _link, offset, *_, extra = _DESCRIPTOR.unpack(file.read(_DESCRIPTOR.size))
                form, purpose = _PARTITION.unpack_from(extra)
                if is_used and kind == _IS_PARTITION and purpose == _IS_SYSTEM:
                    if form != _IS_SQUASHFS:
                        raise ContainerError(f"{path} holds no plain squashfs (its format is {form}; 4 is encrypted)")
                    return int(offset)
        except (struct.error, ValueError, OSError) as error:
            raise ContainerError(f"{path} is a damaged SIF: {error}; copy or build it again") from None
    raise ContainerError(f"{path} is a SIF without a root file system; build it again")
