"""Where pip is to find packages while an image is built, which sees nothing of this host: as this host's pip does.

Source: pip's documentation, "Configuration": files in this order, in them [install] after [global], then variables.
"""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_NAMES = (
    "index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "proxy", "default-timeout", "timeout",
    "retries", "cert",
)  # fmt: skip
"""What is right for an image too; other settings may be about where this host's packages go."""
_OF_THE_SYSTEM = Path("/etc/pip.conf")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CERT = "PIP_CERT"
_OTHER_CERTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SCRIPT = "settings"
"""The file that sets the variables, in the syntax of sh(1)."""


def pip_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that tell pip, and apt, the same.

    Raises:
        configparser.Error: a configuration file cannot be read.
    """
    found: dict[str, str] = {}
    parsers = [_parsed(path) for path in _files(environment)]
    for section in ("global", "install"):
        for parser in parsers:
            if parser.has_section(section):
                found |= {_variable(name): " ".join(value.split()) for name, value in parser.items(section)}
    known = {_variable(name) for name in _NAMES}
    found = {name: value for name, value in {**found, **environment}.items() if name in (*known, *_PROXIES) and value}
    named = [found.pop(_CERT, ""), *(environment.get(name, "") for name in _OTHER_CERTS)]
    certificates = next((path for path in named if Path(path).is_file()), None)
    return found if certificates is None else {**found, _CERT: certificates}


def write_settings(variables: Mapping[str, str], folder: Path, seen: str) -> None:
    """Makes the script, with a copy of the certificates.

    Args:
        folder: to put them into.
        seen: its path where the script is read.

    Raises:
        OSError: they cannot be written.
    """
    lines = dict(variables)
    if _CERT in lines:
        shutil.copy(lines[_CERT], folder / "certificates")
        lines[_CERT] = f"{seen}/certificates"
    script = folder / SCRIPT
    script.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in lines.items()))


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME", "/"))
    yield _OF_THE_SYSTEM
    yield home / ".pip" / "pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield Path(sys.prefix) / "pip.conf"
    if "PIP_CONFIG_FILE" in environment:
        yield Path(environment["PIP_CONFIG_FILE"])


def _parsed(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    if os.access(path, os.R_OK):
        parser.read(path, encoding="utf-8")
    return parser


def _variable(name: str) -> str:
    return "PIP_" + name.upper().replace("-", "_")
