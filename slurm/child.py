"""A command that a job runs, with all its processes."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from slurm import guard


class Child:
    """Starts the command, in a process group of its own. Nothing of it outlives this process, nor `end`.

    Args:
        words: the command.
        env: None: that of this process.
        cwd: None: as this process.
        farewell: what it gets where this process ends without a word: SIGKILL, all its processes; any other signal,
            the first of them.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        farewell: signal.Signals = signal.SIGKILL,
    ) -> None:
        guard.adopt_orphans()  # whatever is left where the guard is killed
        ours, its = socket.socketpair()
        with its:
            # -I and -S: it starts in a moment, whatever the command's environment makes of Python.
            self._guard = subprocess.Popen(
                [sys.executable, "-IS", guard.__file__, str(its.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[its.fileno()],
            )
        self._socket = ours
        self._was_heard = False
        told = {
            "words": list(words),
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()),
            "farewell": int(farewell),
        }
        assert self._guard.stdin is not None
        try:
            with self._guard.stdin as stream:
                stream.write(json.dumps(told).encode())
        except BrokenPipeError:  # it was killed
            pass

    def fileno(self) -> int:
        """For `select`: can be read when it has ended, or `was_heard` may have changed."""
        return self._socket.fileno()

    def was_heard(self, wait_s: float) -> bool:
        """Whether a SIGTERM for this process was for the command's, too: so it is where Slurm ends a job.

        Args:
            wait_s: how long it may take from the one to the other.
        """
        if not self._was_heard and select.select([self._socket], [], [], wait_s)[0]:
            self._was_heard = self._received() == guard.HEARD
        return self._was_heard

    def signal_group(self, number: signal.Signals) -> None:
        """Signals the command's process group, but for srun; what it leaves behind has time to end, too."""
        self._send(guard.TO_GROUP + bytes([number]))

    def signal_leader(self, number: signal.Signals) -> None:
        """Signals the command's first process."""
        self._send(guard.TO_LEADER + bytes([number]))

    @staticmethod
    def runs_steps() -> bool:
        """Whether an srun is among its processes: scancel signals their tasks."""
        return guard.runs_steps()

    def kill(self) -> None:
        """Kills all processes of the command."""
        self._send(guard.TO_ALL + bytes([signal.SIGKILL]))

    def wait(self) -> None:
        """Until it has ended. It is not reaped: this may run in a signal handler, within another wait."""
        os.waitid(os.P_PID, self._guard.pid, os.WEXITED | os.WNOWAIT)

    @property
    def has_ended(self) -> bool:
        """The command has, and all it has left."""
        return os.waitid(os.P_PID, self._guard.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def end(self) -> int:
        """The exit code, as `subprocess` gives it, after `wait`."""
        code = self._guard.wait()
        self._socket.close()
        guard.kill_descendants()
        return code

    def _received(self) -> bytes:
        try:
            return self._socket.recv(1)
        except ConnectionResetError:  # it has ended
            return b""

    def _send(self, message: bytes) -> None:
        try:
            self._socket.sendall(message)
        except (BrokenPipeError, ConnectionResetError):  # it has ended
            pass
