"""Where a client's servers are: what it was told, the environment, or a folder of endpoint files."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from sandbox.endpoint import UNIX_PREFIX, Endpoint, check_folder, check_writers, default_folder, endpoints
from sandbox.folder_clock import FolderClock

ENVIRONMENT = "QRPO_SANDBOX_SERVERS"
_SCHEMES = ("http://", "https://", UNIX_PREFIX)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ServersArgument = str | Path | Sequence[str] | None


class Address(NamedTuple):
    """How one server is spoken to."""

    url: str
    """`http://HOST:PORT` or `unix:/PATH`, without the token: errors and logs name it."""
    token: str | None
    birth: str = ""
    """Tells a server from the one that had its address before, where that is known."""

    @property
    def socket(self) -> str | None:
        """Path of its Unix socket."""
        return self.url.removeprefix(UNIX_PREFIX) if self.url.startswith(UNIX_PREFIX) else None


class Addresses:
    """The servers there are at the moment.

    Args:
        servers: a URL, a list of them, or a folder of endpoint files; None: what QRPO_SANDBOX_SERVERS says (URLs with
            commas between them, or one folder), or else the folder where this user's servers on this node are.
        token: for URLs that hold none.

    Raises:
        ValueError: a URL is none, or there are no servers in a list.
    """

    def __init__(self, servers: ServersArgument, token: str | None = None) -> None:
        self.folder: Path | None = None
        """That is looked into again and again; None: the servers are always the same."""
        self._is_private = False
        self._fixed: list[Address] = []
        if servers is None:
            named = os.environ.get(ENVIRONMENT, "").strip()
            urls = [part.strip() for part in named.split(",") if part.strip()]
            servers = urls if urls and _is_url(urls[0]) else named or None
        if servers is None:
            self.folder, self._is_private = default_folder(), True
        elif isinstance(servers, Path) or (isinstance(servers, str) and _names_a_folder(servers)):
            self.folder = Path(servers)
        else:
            urls = [servers] if isinstance(servers, str) else list(servers)
            if not urls:
                raise ValueError("servers is empty; name at least one URL, or a folder of endpoint files")
            self._fixed = list(dict.fromkeys(_parsed(url, token) for url in urls))
        self._clock = None if self.folder is None else FolderClock(self.folder)

    def __str__(self) -> str:
        if self.folder is not None:
            return f"the folder {self.folder}"
        return ", ".join(address.url for address in self._fixed)

    def now(self) -> list[Address]:
        """The servers.

        Raises:
            OSError: the folder cannot be read, or others than its owner could have put something into it.
        """
        if self.folder is None:
            return self._fixed
        if not self.folder.exists():
            return []
        if self._is_private:  # its name can be guessed: under /tmp another user may have been there first
            check_folder(self.folder)
        else:
            check_writers(self.folder)
        return [
            address_of(found)
            for found in endpoints(self.folder, self._clock)
            # where a server died another user's process may have its port now, and would be sent the token
            if not found.is_dead and is_within_reach(found)
        ]


def _is_url(text: str) -> bool:
    return text.startswith(_SCHEMES)


def _names_a_folder(text: str) -> bool:
    """HOST:PORT without its scheme is none, unless there is one: it would be waited for in vain."""
    return bool(text) and not _is_url(text) and (":" not in text or Path(text).is_dir())


def _parsed(url: str, token: str | None) -> Address:
    if not _is_url(url):
        raise ValueError(f"server {url!r} is no URL; it must be http://:TOKEN@HOST:PORT or unix:/PATH")
    if url.startswith(UNIX_PREFIX):
        path = "/" + url.removeprefix(UNIX_PREFIX).lstrip("/")
        return Address(UNIX_PREFIX + path, token)
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment:
        shown = url if parts.password is None else url.replace(parts.password, "...")
        raise ValueError(f"server {shown!r} is no URL of a server; it must be http://:TOKEN@HOST:PORT")
    named = unquote(parts.password or parts.username or "")
    place = parts.netloc.rpartition("@")[2]
    return Address(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", named or token)


def is_within_reach(found: Endpoint) -> bool:
    """A socket, or a server that listens on the loopback address, is there for its own node only."""
    url = found.record.url
    is_local = url.startswith(UNIX_PREFIX) or _is_loopback(urlsplit(url).hostname or "")
    return not is_local or found.record.boot_id == _BOOT_ID.read_text().strip()


def address_of(found: Endpoint) -> Address:
    """How it is spoken to."""
    record = found.record
    return Address(record.url.rstrip("/"), found.token, f"{record.boot_id}/{record.pid}/{record.started_ticks}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
