"""What a command says."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence

_MOST_BYTES = 1 << 20


def output_of(command: Sequence[str], timeout_s: float = 10.0) -> str | None:
    """Its stdout; None where it is not there, fails, takes longer, or says more than can be meant."""
    end_s = time.monotonic() + timeout_s
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, cwd="/")
    except OSError:
        return None
    said = bytearray()
    with process:
        assert process.stdout is not None
        try:
            while select.select([process.stdout], [], [], max(end_s - time.monotonic(), 0.0))[0]:
                part = os.read(process.stdout.fileno(), 1 << 16)
                if not part:
                    code = process.wait(max(end_s - time.monotonic(), 0.0))
                    return None if code else said.decode(errors="replace")
                said += part
                if len(said) > _MOST_BYTES or time.monotonic() > end_s:
                    break
        except subprocess.TimeoutExpired:
            pass
        process.kill()
    return None
