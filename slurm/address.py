"""Which address a server listens on, so that other nodes reach it."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

EVERY = "0.0.0.0"  # noqa: S104  # with --allow-remote and a token, and said in the log


class Address(NamedTuple):
    """What `qrpo-sandbox serve --host` is given."""

    host: str
    note: str
    """What is worth a line in the log; mostly empty."""


def address_of(name: str) -> Address:
    """That of the node with this name, as seen from it.

    Debian's /etc/hosts gives a machine's own name an address of the loopback interface (127.0.1.1), on which other
    nodes would reach themselves. Then the server listens on every address and is found by the name, which other
    nodes resolve as the cluster does.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        return Address(EVERY, f"{name}, this node's name, has no address here ({error.strerror}): {_WIDE}")
    outside = [address for address in found if _leads_here_from_outside(address)]
    if outside:
        return Address(outside[0], "")
    return Address(EVERY, f"{name}, this node's name, leads to {found[0]} here, which is loopback: {_WIDE}")


_WIDE = (
    "listening on every address instead, to be found by that name; where clients cannot reach it, "
    "mend /etc/hosts or name an address by `fleet up --host`"
)


def _leads_here_from_outside(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified)
