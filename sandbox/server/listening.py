"""Where a server listens: an address of this node, or a Unix socket."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from sandbox.endpoint import UNIX_PREFIX, prepare_folder

_LONGEST_PATH = 107
"""Bytes of a socket's path; unix(7)."""


class ListenError(Exception):
    """It cannot listen there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A bound socket."""

    sock: socket.socket
    url: str
    """As `EndpointRecord.url`."""
    path: Path | None
    """Of a Unix socket."""

    def close(self) -> None:
        """Listens no more; a socket's file is gone."""
        self.sock.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def listen_tcp(host: str, port: int, *, allows_remote: bool) -> Listening:
    """Bind an address.

    Args:
        port: 0 for any that is free.
        allows_remote: otherwise it must be one that only this node can reach.

    Raises:
        ListenError: it is not allowed, is not of this node, or is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ListenError(f"{host!r} is no address: {error.strerror or error}") from None
    if not (allows_remote or ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback):
        raise ListenError(
            f"{host} can be reached from other machines: whoever reaches it may try tokens, and nothing is encrypted; "
            "if that is what you want, add --allow-remote"
        )
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that was switched off says no goodbye
        sock.bind(address)
        sock.listen(1)  # or two servers could bind the port, of which one could not listen
    except OSError as error:
        sock.close()
        hint = {errno.EADDRINUSE: "; name another, or 0 for any", errno.EACCES: "; ports from 1024 on are free to use"}
        raise ListenError(
            f"cannot listen on {host} port {port}: {error.strerror}{hint.get(error.errno or 0, '')}"
        ) from None
    bound_port = sock.getsockname()[1]
    return Listening(sock, f"http://{_reachable(str(address[0]))}:{bound_port}", None)


def listen_unix(path: Path) -> Listening:
    """Bind a Unix socket that only this user can connect to; what a server that died left there makes room.

    Raises:
        ListenError: the path is too long or in use.
        OSError: its folder is another user's, can be opened by others, or cannot be made.
    """
    path = path.absolute()
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ListenError(f"{path} is too long for a socket: at most {_LONGEST_PATH} bytes; name a shorter path")
    prepare_folder(path.parent)
    if os.path.lexists(path):
        if not is_dead_socket(path):
            raise ListenError(f"{path} is in use, by a server or as another file; name another path")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        path.chmod(0o600)  # nobody else can open the folder, before or after
        sock.listen(1)
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {path}: {error.strerror}") from None
    return Listening(sock, f"{UNIX_PREFIX}{path}", path)


def is_dead_socket(path: Path) -> bool:
    """Whether it is a socket at which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _reachable(address: str) -> str:
    """The host of a URL that leads there; any address of this node is called by the node's name."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.is_unspecified:
        return socket.gethostname()
    return f"[{address}]" if parsed.version == 6 else address
