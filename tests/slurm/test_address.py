"""Which address servers listen on: names as nodes may resolve them."""

import socket
from collections.abc import Callable

import pytest

from slurm.address import EVERY, address_of

Resolve = Callable[..., None]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    def to(*addresses: str) -> None:
        def found(name: str, *_: object, **__: object) -> list[object]:
            if not addresses:
                raise socket.gaierror(-2, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return to


def test_the_address_of_its_name(resolves: Resolve) -> None:
    resolves("10.1.2.3", "10.9.9.9")
    assert address_of("node7") == ("10.1.2.3", "")


@pytest.mark.parametrize("loopback", ["127.0.1.1", "127.0.0.1", "::1", "fe80::1%eth0"])
def test_one_that_leads_to_other_nodes_themselves_is_passed_over(resolves: Resolve, loopback: str) -> None:
    resolves(loopback, "2001:db8::7")
    assert address_of("node7") == ("2001:db8::7", "")


@pytest.mark.parametrize("addresses", [("127.0.1.1",), ("::1", "127.0.0.1"), ()])
def test_where_there_is_no_other_it_listens_on_every_one_and_says_so(
    resolves: Resolve, addresses: tuple[str, ...]
) -> None:
    resolves(*addresses)
    host, note = address_of("node7")
    assert host == EVERY
    assert note.startswith(
        f"node7, this node's name, {f'leads to {addresses[0]}' if addresses else 'has no address'} here"
    )
    assert "fleet up --host" in note
