"""Length-prefixed frames over stream sockets, and sealed memory files."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

_HEADER = struct.Struct("=I")
MAX_TRUSTED = (1 << 32) - 1
"""Largest frame, bytes, between parties that trust each other."""


class FrameError(Exception):
    """The peer closed in the middle of a frame, or the frame is larger than allowed."""


def send_frame(sock: socket.socket, data: bytes) -> None:
    """Send one frame. Raises OSError when the peer is gone, FrameError when `data` is 4 GiB or more."""
    if len(data) > MAX_TRUSTED:
        raise FrameError("a frame of %d bytes is too large" % len(data))
    if len(data) < 65536:
        sock.sendall(_HEADER.pack(len(data)) + data)
    else:
        sock.sendall(_HEADER.pack(len(data)))
        sock.sendall(data)


def receive_frame(sock: socket.socket, limit: int = MAX_TRUSTED) -> bytes | None:
    """Receive one frame of at most `limit` bytes; None when the peer closed between frames.

    Raises:
        FrameError: the frame is larger than `limit` or ends early.
    """
    first = sock.recv(65536)
    if not first:
        return None
    buffer = bytearray(first)
    while len(buffer) < _HEADER.size:
        _extend(sock, buffer, _HEADER.size - len(buffer))
    (length,) = _HEADER.unpack_from(buffer)
    if length > limit:
        raise FrameError("a frame announces %d bytes; at most %d are allowed" % (length, limit))
    missing = length + _HEADER.size - len(buffer)
    if missing < 0:
        raise FrameError("bytes follow a frame before it was answered")
    while missing > 0:
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
