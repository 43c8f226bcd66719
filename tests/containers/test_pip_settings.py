import configparser
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.pip_settings import pip_variables, write_settings

Read = Callable[..., dict[str, str]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """What is read where the user's file says this, and variables that."""
    monkeypatch.setattr("sys.prefix", str(tmp_path / "none"))
    monkeypatch.setattr("containers.pip_settings._OF_THE_SYSTEM", tmp_path / "none")

    def variables(text: str = "", **environment: str) -> dict[str, str]:
        file = tmp_path / ".config" / "pip" / "pip.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return pip_variables({"HOME": str(tmp_path), **environment})

    return variables


def test_a_file_says_where_packages_are(read: Read) -> None:
    found = read("[global]\nindex-url = https://a/simple\nextra-index-url =\n  https://b/simple\n  https://c/simple\n")
    assert found["PIP_INDEX_URL"] == "https://a/simple"
    assert found["PIP_EXTRA_INDEX_URL"] == "https://b/simple https://c/simple"


def test_a_command_goes_before_all_commands_and_a_variable_before_both(read: Read) -> None:
    text = "[install]\nindex-url = https://b\ntimeout = 5\n[global]\nindex-url = https://a\ntimeout = 4\nretries = 1\n"
    found = read(text, PIP_TIMEOUT="9")
    assert [found[f"PIP_{name}"] for name in ("INDEX_URL", "TIMEOUT", "RETRIES")] == ["https://b", "9", "1"]


def test_the_file_that_a_variable_names_is_read_last(read: Read, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("[global]\nindex-url = https://mine\n")
    found = read("[global]\nindex-url = https://a\n", PIP_CONFIG_FILE=str(tmp_path / "mine"))
    assert found["PIP_INDEX_URL"] == "https://mine"
    assert "PIP_CONFIG_FILE" not in found


def test_what_is_about_this_hosts_packages_stays_here(read: Read) -> None:
    found = read("[global]\nuser = yes\ntarget = /x\n", PIP_REQUIRE_VIRTUALENV="1", PIP_CACHE_DIR="/c", SECRET="s")
    assert not {"PIP_USER", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "PIP_CACHE_DIR", "SECRET"} & set(found)


def test_nothing_is_told_where_nothing_is_set(read: Read) -> None:
    assert read() == {}


def test_a_proxy_is_told(read: Read) -> None:
    assert read(https_proxy="http://proxy:3128")["https_proxy"] == "http://proxy:3128"


def test_certificates_go_along_from_whichever_variable_names_them(read: Read, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert read(REQUESTS_CA_BUNDLE=a)["PIP_CERT"] == a
    assert read(f"[global]\ncert = {b}\n", REQUESTS_CA_BUNDLE=a)["PIP_CERT"] == b


def test_a_file_that_is_none_is_told(read: Read) -> None:
    with pytest.raises(configparser.Error):
        read("index-url = x\n")


def test_the_script_sets_what_was_found(tmp_path: Path) -> None:
    certificates = tmp_path / "certificates.crt"
    certificates.write_text("trusted")
    folder = tmp_path / "settings"
    folder.mkdir()
    value = "https://user:it's$HOME@host/simple `x`"
    write_settings({"PIP_INDEX_URL": value, "PIP_CERT": str(certificates)}, folder, str(folder))
    said = subprocess.run(
        ["/bin/sh", "-c", f'. {folder}/settings; printf %s "$PIP_INDEX_URL"; cat "$PIP_CERT"'],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == value + "trusted"
