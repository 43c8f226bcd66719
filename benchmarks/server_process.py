"""A server as users have it: `qrpo-sandbox serve` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from sandbox.endpoint import Endpoint, endpoints

_START_S = 60.0


class ServerProcess:
    """Listens on loopback, at a port of its own choice. Use it as a context manager.

    Args:
        *options: of `serve`.
        folder: of endpoint files, that others may use too; None: one of its own.

    Raises:
        RuntimeError: it did not start.
    """

    def __init__(self, *options: str, folder: Path | None = None) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="server-") if folder is None else None
        self._folder = folder or Path(self._own.name)
        command = [sys.executable, "-m", "sandbox.cli", "serve", "--port", "0", "--endpoint-dir", str(self._folder)]
        self._process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
        self.pid = self._process.pid
        try:
            found = self._endpoint()
        except BaseException:
            self.close()
            raise
        self.url = found.record.url
        self.headers = {"authorization": f"Bearer {found.token}"}
        self.token = found.token

    def _endpoint(self) -> Endpoint:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            for found in endpoints(self._folder):
                if found.record.pid == self.pid:
                    return found
            if self._process.poll() is not None:
                raise RuntimeError(f"the server exited with {self._process.returncode}")
            time.sleep(0.05)
        raise RuntimeError(f"the server was not ready after {_START_S:.0f} s")

    def rss_bytes(self) -> int:
        """Resident memory of its first process."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the server has ended")

    def close(self) -> None:
        """Ask it to end, and wait."""
        self._process.terminate()
        self._process.wait()
        if self._own is not None:
            self._own.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
