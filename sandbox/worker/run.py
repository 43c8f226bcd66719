"""One run as the trusted side sees it: started, fed, drained, ended, and told in a report that is complete."""

from __future__ import annotations

import errno
import marshal
import os
import select
import socket
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .codec import CodecError, unpack
from .fetching import read_fetched
from .frames import FrameError, PeerGoneError, receive_frame, sealed_memory
from .procfs import collect_garbage
from .zygote import request_run

_MAX_NOTICE = 1 << 20
_GARBAGE_S = 10.0
"""How long the kernel may take to collect descriptors in flight, and another slot's program to end that sends some."""


class InfrastructureFailure(Exception):  # noqa: N818 - `InfrastructureError` is what the pool makes of it
    """The host could not do a run: verdict IE, never the program's fault."""


class DeathFailure(InfrastructureFailure):
    """One of our own processes is gone: somebody has killed it, for nothing that the host lacks."""


class Abandoned(Exception):  # noqa: N818 - no error: a notice
    """Whoever wanted the run has gone."""


TIME_REASONS = ("cpu", "total_cpu", "idle", "wall")


class Report(NamedTuple):
    """What became of a run, measured by its supervisor."""

    reason: Optional[str]
    """Why it was killed: cpu, total_cpu, idle, memory, output; None when it ended by itself."""
    exit_code: Optional[int]
    signal: Optional[int]
    cpu_ns: int
    wall_ns: int
    idle_ns: int
    """In which tests that were timed waited for nothing of ours."""
    peak_bytes: int
    is_late: bool
    """More time was used than is due, and less than ends a run: to be run again, alone."""
    fetched: Sequence[int] = ()
    """Sizes of the files that were asked for; -1 for one that is not there, or is no file, or too large."""


class Run:
    """A candidate that is running. Close it, or let its report come, before the next is started.

    Args:
        zygote: the zygote's socket.
        limits: of this run; see sandbox.limits.
        payload: plain data for the candidate; its `mode` says what to do.
        descriptors: standard streams by name (stdin, stdout, stderr); the caller's to close. With `fetched`, a file
            of memory, comes at the end of the run what is to be fetched.
        fetch: names of the files to be fetched, one after the other.

    Raises:
        InfrastructureFailure: the zygote is gone.
    """

    def __init__(
        self,
        zygote: socket.socket,
        limits: Dict[str, Any],
        payload: Dict[str, Any],
        descriptors: Dict[str, int],
        fetch: Sequence[str] = (),
    ) -> None:
        self._status, status_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, control_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        memory = sealed_memory("payload", marshal.dumps(payload, 2))
        there = {"status": status_there.fileno(), "control": control_there.fileno(), "payload": memory}
        self._report: Optional[Report] = None
        self._poller = select.poll()
        self._poller.register(self.control, select.POLLIN)
        self._poller.register(self._status, select.POLLIN)
        try:
            _request(zygote, limits, {**there, **descriptors}, fetch)
        except OSError as error:
            raise DeathFailure("the zygote is gone: %s" % error) from None
        finally:
            status_there.close()
            control_there.close()
            os.close(memory)

    @property
    def status_fd(self) -> int:
        """Readable once the report is there."""
        return self._status.fileno()

    def wait(self, event: int, timeout_ms: Optional[float] = None) -> bool:
        """Wait until the control socket is ready for POLLIN or POLLOUT; whether it is, in time.

        The end of the run ends the wait, and not only the end of the stream: a program that is gone may have left its
        end of the control socket in a place where it lives on.

        Raises:
            PeerGoneError: the run is over, and the socket is not ready.
        """
        self._poller.modify(self.control, event)
        ready = dict(self._poller.poll(timeout_ms))
        if self.control.fileno() in ready:
            return True
        if self._status.fileno() in ready:
            raise PeerGoneError("the program is gone")
        return False

    def receive(self, limit: int) -> Optional[bytes]:
        """The candidate's next frame. Raises as `receive_frame`."""
        return receive_frame(self.control, limit, self._wait_for_ever)

    def _wait_for_ever(self, event: int) -> None:
        self.wait(event)

    def arm(self, start_ns: int, cpu_s: float, idle_s: float) -> None:
        """Time a test from the CLOCK_MONOTONIC instant `start_ns` on; when its limit is passed the run ends."""
        self._tell("arm %d %d %d" % (start_ns, cpu_s * 1e9, idle_s * 1e9))

    def disarm(self) -> None:
        """The test that was timed is over."""
        self._tell("disarm")

    def pause(self) -> None:
        """The candidate waits for us: its idle time does not count."""
        self._tell("pause")

    def resume(self) -> None:
        """We wait for the candidate again."""
        self._tell("resume")

    def kill(self, reason: str) -> None:
        """End the run; the report carries the reason."""
        self._tell("kill " + reason)

    def _tell(self, message: str) -> None:
        try:
            self._status.send(message.encode("ascii"))
        except OSError:
            pass  # it has ended already, and the report says how

    def report(self) -> Report:
        """Wait until nothing of the run is left. Raises InfrastructureFailure when no report comes."""
        if self._report is None:
            try:
                data = self._status.recv(4096)
            except ConnectionResetError:  # it ended with a message of ours unread; the report lies behind the error
                data = self._status.recv(4096)
            if not data:
                raise DeathFailure("the supervisor died without a report")
            fields = marshal.loads(data)  # noqa: S302 - from the supervisor, or from the candidate before it was a program
            if "failed" in fields:
                raise InfrastructureFailure(fields["failed"])
            self._report = Report(**fields)
        return self._report

    def notice(self) -> Dict[str, Any]:
        """What the candidate's own side said of its end; a hint, because the program may have said it."""
        try:
            frame = receive_frame(self.control, _MAX_NOTICE, _no_more)
            return unpack(frame)[0] if frame else {}
        except (OSError, FrameError, CodecError):
            return {}

    def close(self) -> None:
        """Hang up; the supervisor ends what still runs."""
        self.control.close()
        self._status.close()


def _request(zygote: socket.socket, limits: Dict[str, Any], descriptors: Dict[str, int], fetch: Sequence[str]) -> None:
    """Ask for a run. The program before may have left so many descriptors in flight that its user can send no more."""
    end = time.monotonic() + _GARBAGE_S
    while True:
        try:
            return request_run(zygote, limits, descriptors, fetch)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS or time.monotonic() > end:
                raise
        collect_garbage()


def _no_more(_event: int) -> None:
    """Nobody is left who could send the rest."""
    raise PeerGoneError("the program is gone")


class Output(NamedTuple):
    """A finished run of a script."""

    report: Report
    stdout: bytes
    stderr: bytes
    notice: Dict[str, Any]
    files: Mapping[str, bytes] = {}
    """Those fetched, by name."""


def script(code: str, arguments: Sequence[str] = (), files: Optional[Mapping[str, bytes]] = None) -> Dict[str, Any]:
    """The payload of a Python script.

    Args:
        arguments: sys.argv[1:].
        files: by name, written into its working folder before it starts.
    """
    return {"mode": "program", "code": code, "arguments": list(arguments), "files": dict(files or {})}


def run_script(
    zygote: socket.socket,
    limits: Dict[str, Any],
    payload: Dict[str, Any],
    stdin: bytes,
    caller: Optional[socket.socket] = None,
    fetch: Sequence[str] = (),
) -> Output:
    """Run a script to its end and collect what it wrote, in memory bounded by `limits`.

    Args:
        payload: see `script`.
        caller: whose hanging up ends the run.
        fetch: names of the files to be fetched at its end, together of `output_bytes` at most.

    Raises:
        InfrastructureFailure: see Run.
        Abandoned: the caller hung up.
    """
    ours, theirs = [], []
    for _ in range(2):
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write_end, True)
        ours.append(read_end)
        theirs.append(write_end)
    standard_input = sealed_memory("stdin", stdin)
    fetched = os.memfd_create("fetched", os.MFD_CLOEXEC) if fetch else None
    run: Optional[Run] = None
    try:
        names = {"stdin": standard_input, "stdout": theirs[0], "stderr": theirs[1]}
        if fetched is not None:
            names["fetched"] = fetched
        try:
            run = Run(zygote, limits, payload, names, fetch)
        finally:
            for descriptor in (standard_input, *theirs):
                os.close(descriptor)
        stdout, stderr = _drain(run, ours, limits["output_bytes"], caller)
        report = run.report()
        if report.reason is None and max(len(stdout), len(stderr)) > limits["output_bytes"]:
            report = report._replace(reason="output")  # it ended before it could be ended
        words = payload.get("out_of_memory", ())
        if report.exit_code != 0 and any(word in stderr for word in words):
            return Output(report, stdout, stderr, {"memory_error": True})
        files = {} if fetched is None else read_fetched(fetched, fetch, report.fetched)
        return Output(report, stdout, stderr, run.notice(), files)
    finally:
        for descriptor in ours if fetched is None else (*ours, fetched):
            os.close(descriptor)
        if run is not None:
            run.close()


def _drain(run: Run, pipes: List[int], limit: int, caller: Optional[socket.socket]) -> List[bytes]:
    """Read the pipes until the report is there; what exceeds `limit` is thrown away and ends the run."""
    kept = {pipe: bytearray() for pipe in pipes}
    poller = select.poll()
    poller.register(run.status_fd, select.POLLIN)
    for pipe in pipes:
        poller.register(pipe, select.POLLIN)
    if caller is not None:
        poller.register(caller, select.POLLHUP)
    ended = False
    while not ended:
        for descriptor, _ in poller.poll():
            if descriptor == run.status_fd:
                ended = True  # every writer is dead: what is left in the pipes is all there will be
            elif descriptor not in kept:
                raise Abandoned
            elif not _read_some(descriptor, kept[descriptor]):
                poller.unregister(descriptor)
            elif len(kept[descriptor]) > limit:
                run.kill("output")
                del kept[descriptor][limit + 1 :]
    for pipe in pipes:
        while len(kept[pipe]) <= limit and _read_some(pipe, kept[pipe]):
            pass
    return [bytes(kept[pipe][: limit + 1]) for pipe in pipes]


def _read_some(pipe: int, buffer: bytearray) -> bool:
    try:
        chunk = os.read(pipe, 1 << 16)
    except BlockingIOError:
        return False
    buffer += chunk
    return bool(chunk)
