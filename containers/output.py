"""What a command says."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence

_MOST_BYTES = 1 << 20


def output_of(command: Sequence[str], timeout_s: float = 10.0) -> str | None:
    """Its stdout; None where it is not there, fails, takes longer, or says more than can be meant."""
    end_s = time.monotonic() + timeout_s
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, cwd="/", process_group=0)
    except OSError:
        return None
    with process:
        try:
            return _said_by(process, end_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # a script's child too


def _said_by(process: subprocess.Popen[bytes], end_s: float) -> str | None:
    """Raises TimeoutExpired for what goes on too long, or says too much."""
    assert process.stdout is not None
    said = bytearray()
    while len(said) <= _MOST_BYTES and select.select([process.stdout], [], [], max(end_s - time.monotonic(), 0.0))[0]:
        part = os.read(process.stdout.fileno(), 1 << 16)
        if not part:
            code = process.wait(max(end_s - time.monotonic(), 0.0))
            return None if code else said.decode(errors="replace")
        said += part
    raise subprocess.TimeoutExpired(process.args, 0)
