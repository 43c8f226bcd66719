"""Length-prefixed frames over stream sockets, and sealed memory files."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Callable

_HEADER = struct.Struct("=I")
MAX_TRUSTED = (1 << 32) - 1
"""Largest frame, bytes, between parties that trust each other."""


class FrameError(Exception):
    """The peer closed in the middle of a frame, or the frame is larger than allowed."""


def _no_matter() -> None:
    """For a peer that is trusted to read and to write."""


def send_frame(sock: socket.socket, data: bytes, about_to_wait: Callable[[], None] = _no_matter) -> None:
    """Send one frame.

    Args:
        about_to_wait: called before each wait for the peer to read, which a hostile peer may never do.

    Raises:
        OSError: the peer is gone.
        FrameError: `data` is 4 GiB or more.
    """
    if len(data) > MAX_TRUSTED:
        raise FrameError("a frame of %d bytes is too large" % len(data))
    header = _HEADER.pack(len(data))
    for part in (header + data,) if len(data) < 65536 else (header, data):
        try:
            sent = sock.send(part, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(part):
            about_to_wait()
            sock.sendall(memoryview(part)[sent:])


def receive_frame(
    sock: socket.socket, limit: int = MAX_TRUSTED, about_to_wait: Callable[[], None] = _no_matter
) -> bytes | None:
    """Receive one frame of at most `limit` bytes; None when the peer closed between frames.

    Args:
        about_to_wait: called before each wait for the rest of a frame, which a hostile peer may never send.

    Raises:
        FrameError: the frame is larger than `limit` or ends early.
    """
    first = sock.recv(65536)
    if not first:
        return None
    buffer = bytearray(first)
    while len(buffer) < _HEADER.size:
        about_to_wait()
        _extend(sock, buffer, _HEADER.size - len(buffer))
    (length,) = _HEADER.unpack_from(buffer)
    if length > limit:
        raise FrameError("a frame announces %d bytes; at most %d are allowed" % (length, limit))
    missing = length + _HEADER.size - len(buffer)
    if missing < 0:
        raise FrameError("bytes follow a frame before it was answered")
    while missing > 0:
        about_to_wait()
        missing -= _extend(sock, buffer, missing)
    del buffer[: _HEADER.size]
    return bytes(buffer)


def _extend(sock: socket.socket, buffer: bytearray, size: int) -> int:
    chunk = sock.recv(min(size, 1 << 20))
    if not chunk:
        raise FrameError("the peer closed in the middle of a frame")
    buffer += chunk
    return len(chunk)


def sealed_memory(name: str, data: bytes) -> int:
    """A descriptor of a memory file that holds `data`, at offset 0, and can never change; memfd_create(2)."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
