"""A server as a Slurm job: what submitit runs on the node.

Signals, as Slurm sends them:
  - USR2 to this process alone, ahead of the time limit or a preemption: submitit asks for a checkpoint, during which
    the server finishes, and puts the job back in the queue.
  - TERM to every process of the job, by scancel, by a preemption without that signal, and at the limit: the server
    finishes, and the job ends, or is put back by Slurm. It may come to this process alone (`scancel --batch
    --signal=TERM`) or more than once. The server would take a second signal for "at once", so it is started deaf to
    all of them but INT, which it gets once, from here.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys

from submitit.helpers import DelayedSubmission

from slurm.address import address_of
from slurm.child import Child

log = logging.getLogger(__name__)

_DEAF = ("sh", "-c", 'trap "" HUP TERM USR1 USR2; exec "$@"', "sh")


class ServerJob:
    """Runs a server until it ends, or is to.

    Args:
        command: `qrpo-sandbox serve` with its options, but for --host.
        host: what it listens on; None: where other nodes reach this one.
    """

    def __init__(self, command: tuple[str, ...], host: str | None) -> None:
        self._command = command
        self._host = host
        self._server: Child | None = None
        self._is_stopping = False

    def __call__(self) -> None:
        """Ends with the server's exit code; one that could not start has said why, last in the log."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop())  # in place of submitit's, which lets it pass
        address = address_of(socket.gethostname())
        if self._host is None and address.note:
            log.warning("%s", address.note)
        host = address.host if self._host is None else self._host
        server = Child([*_DEAF, *self._command, "--host", host], farewell=signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._server = server
        if self._is_stopping:  # since before there was a server
            server.signal_leader(signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        server.wait()
        self._server = None
        code = server.end()
        sys.exit(0 if self._is_stopping else code if code >= 0 else 128 - code)

    def checkpoint(self) -> DelayedSubmission:
        """Lets the server finish; what the job does when it runs again."""
        log.warning("a time limit or a preemption is ahead: the server finishes, then this job queues itself again")
        self._stop()
        if self._server is not None:
            self._server.wait()
        return DelayedSubmission(ServerJob(self._command, self._host))

    def _stop(self) -> None:
        if not self._is_stopping and self._server is not None:
            self._server.signal_leader(signal.SIGINT)
        self._is_stopping = True
