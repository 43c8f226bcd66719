"""Length-prefixed frames over stream sockets, and sealed memory files."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from typing import Callable, Optional

_HEADER = struct.Struct("=I")
MAX_TRUSTED = (1 << 32) - 1
"""Largest frame, bytes, between parties that trust each other."""


class FrameError(Exception):
    """The peer closed in the middle of a frame, or the frame is larger than allowed."""


Wait = Callable[[int], None]
"""Waits until the socket is ready for POLLIN or POLLOUT; raises PeerGoneError when it never will be."""


class PeerGoneError(FrameError):
    """Nobody is left who could write or read."""


def send_frame(sock: socket.socket, data: bytes, wait: Optional[Wait] = None) -> None:
    """Send one frame.

    Args:
        wait: for a peer that may never read: nothing here blocks but this. None: the socket's own blocking.

    Raises:
        OSError: the peer is gone.
        FrameError: `data` is 4 GiB or more.
    """
    if len(data) > MAX_TRUSTED:
        raise FrameError("a frame of %d bytes is too large" % len(data))
    header = _HEADER.pack(len(data))
    for part in (header + data,) if len(data) < 65536 else (header, data):
        if wait is None:
            sock.sendall(part)
        else:
            _send_all(sock, memoryview(part), wait)


def _send_all(sock: socket.socket, view: memoryview, wait: Wait) -> None:
    while view:
        try:
            view = view[sock.send(view, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            wait(select.POLLOUT)


def receive_frame(sock: socket.socket, limit: int = MAX_TRUSTED, wait: Optional[Wait] = None) -> Optional[bytes]:
    """Receive one frame of at most `limit` bytes; None when the peer closed between frames.

    Args:
        wait: for a peer that may never send: nothing here blocks but this. None: the socket's own blocking.

    Raises:
        OSError: the peer is gone.
        FrameError: the frame is larger than `limit` or ends early.
    """
    buffer = bytearray(_receive(sock, 65536, wait))
    if not buffer:
        return None
    while len(buffer) < _HEADER.size:
        _extend(sock, buffer, _HEADER.size - len(buffer), wait)
    (length,) = _HEADER.unpack_from(buffer)
    if length > limit:
        raise FrameError("a frame announces %d bytes; at most %d are allowed" % (length, limit))
    missing = length + _HEADER.size - len(buffer)
    if missing < 0:
        raise FrameError("bytes follow a frame before it was answered")
    while missing > 0:
        missing -= _extend(sock, buffer, missing, wait)
    del buffer[: _HEADER.size]
    return bytes(buffer)


def _extend(sock: socket.socket, buffer: bytearray, size: int, wait: Optional[Wait]) -> int:
    chunk = _receive(sock, min(size, 1 << 20), wait)
    if not chunk:
        raise FrameError("the peer closed in the middle of a frame")
    buffer += chunk
    return len(chunk)


def _receive(sock: socket.socket, size: int, wait: Optional[Wait]) -> bytes:
    while wait is not None:
        try:
            return sock.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            wait(select.POLLIN)
    return sock.recv(size)


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
