from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxClient, Verdict
from sandbox.client.addresses import ENVIRONMENT, Address, Addresses
from sandbox.endpoint import EndpointRecord, default_folder, publish, withdraw


def here(url: str) -> EndpointRecord:
    return EndpointRecord.of_this_process(url, 1, "0")


def far(url: str, pid: int = 1) -> EndpointRecord:
    return EndpointRecord(url=url, host="far", boot_id="far", pid=pid, started_ticks=2, workers=1, version="0")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://:secret@h:1/", Address("http://h:1", "secret")),
        ("http://secret@h:1", Address("http://h:1", "secret")),
        ("http://:a%2Fb@h:1/prefix/", Address("http://h:1/prefix", "a/b")),
        ("http://h:1", Address("http://h:1", "given")),
        ("https://[::1]:1", Address("https://[::1]:1", "given")),
        ("unix:/tmp/a b", Address("unix:/tmp/a b", "given")),
        ("unix:///tmp/a", Address("unix:/tmp/a", "given")),
    ],
)
def test_a_url_is_a_server_and_may_hold_its_token(url: str, address: Address) -> None:
    assert Addresses(url, "given").now() == [address]
    assert Addresses([url, url], "given").now() == [address]


@pytest.mark.parametrize(
    "servers",
    [[], "", [""], "h:1", "ftp://h:1", ["h:1"], ["http://"], "http://h:1?x=1", ["/a/folder"], "http://:secret@"],
)
def test_what_is_no_server_is_said(servers: Any) -> None:
    with pytest.raises(ValueError, match=r"server") as caught:
        Addresses(servers)
    assert "secret" not in str(caught.value)


def test_the_environment_names_urls_or_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ENVIRONMENT, " http://a:1, unix:/b ,")
    assert [address.url for address in Addresses(None).now()] == ["http://a:1", "unix:/b"]
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    assert Addresses(None).folder == tmp_path
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert Addresses(None).folder == default_folder() == tmp_path / "qrpo-sandbox"


def test_a_folder_says_where_servers_are_and_their_tokens(tmp_path: Path) -> None:
    publish(tmp_path, "a", here("http://here:1"), "secret")
    publish(tmp_path, "b", here("unix:/s"), None)
    publish(tmp_path, "c", far("http://127.0.0.1:1"), "secret")
    publish(tmp_path, "d", far("http://far:2"), "secret")
    publish(tmp_path, "e", here("http://here:2").model_copy(update={"started_ticks": 1}), "secret")  # it is dead
    found = [(address.url, address.token) for address in Addresses(tmp_path).now()]
    assert found == [("http://here:1", "secret"), ("unix:/s", None), ("http://far:2", "secret")]


@pytest.mark.parametrize("url", ["http://127.0.1.1:1", "http://[::1]:1", "http://localhost:1", "unix:/s"])
def test_what_only_another_node_can_reach_is_left_out(tmp_path: Path, url: str) -> None:
    publish(tmp_path, "a", far(url), "t")
    publish(tmp_path, "b", far("http://far:1"), "t")
    assert [address.url for address in Addresses(tmp_path).now()] == ["http://far:1"]


def test_a_server_that_has_not_been_heard_of_for_long_is_left_out_until_it_is(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path)
    path = publish(tmp_path, "a", far("http://far:1"), "t")
    os.utime(path, (0, 0))
    assert addresses.now() == []
    path.touch()
    assert len(addresses.now()) == 1


def test_the_folder_that_others_could_guess_must_be_this_users_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = default_folder()
    folder.mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="chmod 700"):
        Addresses(None).now()
    folder.chmod(0o700)
    assert Addresses(None).now() == []


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_into_which_others_can_put_servers_is_not_used(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    publish(folder, "a", here("http://here:1"), "t")
    folder.chmod(mode)
    with pytest.raises(PermissionError, match="another user"):
        Addresses(folder).now()
    folder.chmod(0o755)
    assert len(Addresses(folder).now()) == 1


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Path, "stat", lambda *_, **__: os.stat_result((0o40700, 1, 1, 2, os.getuid() + 1, 0, 0, 0, 0, 0))
    )
    with pytest.raises(PermissionError, match="another user"):
        Addresses(tmp_path).now()


def test_a_server_that_starts_again_at_its_address_is_another_one(tmp_path: Path) -> None:
    publish(tmp_path, "a", far("http://far:1"), "x")
    before = Addresses(tmp_path).now()
    withdraw(tmp_path, "a")
    publish(tmp_path, "a", far("http://far:1", pid=2), "x")
    assert Addresses(tmp_path).now() != before


def test_servers_of_a_folder_come_and_go(tmp_path: Path, start_server: Any) -> None:
    publish(tmp_path, "silent", here("http://127.0.0.1:9"), "x")
    first, second = start_server("one"), start_server("two")
    with SandboxClient(tmp_path) as client:
        results = client.run_as_completed((f"print({number})", "") for number in range(120))
        publish(tmp_path, "first", here(first.address), "one")
        found = [next(results)]
        publish(tmp_path, "second", here(second.address), "two")
        withdraw(tmp_path, "first")
        time.sleep(1.1)  # the folder is read again
        found += results
        assert sorted(index for index, _ in found) == list(range(120))
        first.kill()
        assert client.run("pass").verdict is Verdict.AC


def test_a_unix_socket_needs_no_token(tmp_path: Path, start_server: Any) -> None:
    server = start_server(None, path=tmp_path / "s")
    publish(tmp_path, "s", here(server.url), None)
    for servers in (server.url, tmp_path):
        with SandboxClient(servers) as client:
            assert client.run("print(1)").stdout == b"1\n"


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch, start_server: Any) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with SandboxClient(start_server().url) as client:
        assert client.run("pass").verdict is Verdict.AC
