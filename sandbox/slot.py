"""One slot: a broker started in a container, asked one request at a time."""

from __future__ import annotations

import logging
import marshal
import os
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from containers.runtime import Runtime
from sandbox.control_group import SlotGroup, find
from sandbox.errors import InfrastructureError, UnsupportedHostError
from sandbox.level import Level
from sandbox.slot_processes import SlotProcesses, has_ended
from sandbox.worker import linux
from sandbox.worker.frames import FrameError, PeerGoneError, Wait, receive_frame, send_frame

_WORKER_FOLDER = str(Path(__file__).parent / "worker")
_CREDENTIALS = struct.Struct("iII")
"""pid, uid, gid; unix(7)."""
_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0
_LAST_WORDS = 2000
_LOOK_EVERY_S = 0.5
"""At the slot's processes, while its broker is waited for."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """What a slot enforces, measured by trying it when the slot started."""

    level: Level
    guards: tuple[str, ...]
    """Names of the guards that were tried and hold."""
    absent: Mapping[str, str]
    """Guards beyond those that the level requires, and why this machine lacks them."""
    python: str
    """Version of the interpreter that programs run under."""


class Slot:
    """A started slot. Not thread-safe: one thread owns it, and makes it: when that thread ends, so does the slot.

    Args:
        runtime: where its programs run.
        level: what must hold; see `sandbox.level`.
        core: the only processor that its processes run on; None for any.

    Raises:
        UnsupportedHostError: a required guard is missing on this machine.
        InfrastructureError: the slot did not start.
    """

    def __init__(self, runtime: Runtime, level: Level = Level.USERNS, core: int | None = None) -> None:
        code_folder = str(Path(runtime.inside(_WORKER_FOLDER)).parent)
        boot = f"import sys; sys.path.insert(0, {code_folder!r}); from worker.main import main; main()"
        spec = {
            **runtime.root(),  # before anything starts: it says what is wrong with an image
            "preload": list(runtime.preload),
            "remove_from_path": ["", code_folder],
            "level": level.value,
            "core": core,
            "namespaces": linux.namespaces(),
        }
        self._known: set[str] = set()
        self._group: SlotGroup | None = None
        with ExitStack() as stack:
            try:
                self._sock, theirs = socket.socketpair()
                stack.callback(self._sock.close)
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                with theirs:
                    self._log = stack.enter_context(tempfile.TemporaryFile())
                    self._process = runtime.start(["-c", boot], theirs.fileno(), self._log, [_WORKER_FOLDER])
            except OSError as error:
                raise InfrastructureError(f"a slot could not be started: {error}") from error
            stack.pop_all()
            stack.callback(self._end_process)
            self._processes = SlotProcesses(self._first_pid(), is_broker=level is Level.LANDLOCK)
            stack.pop_all()
            stack.callback(self.kill)
            self.enforcement = self._begin(spec, level)
            stack.pop_all()

    def _first_pid(self) -> int:
        """Of the slot's first process, as this host counts: what started it may stay its parent.

        Raises:
            InfrastructureError: it did not start.
        """
        try:
            self._sock.settimeout(_START_TIMEOUT_S)
            said, ancillary, _, _ = self._sock.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
            self._sock.settimeout(None)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        except OSError as error:
            raise InfrastructureError(f"a slot did not start: {error}{self._last_words()}") from error
        if not said:
            raise InfrastructureError(f"a slot did not start: its Python is gone{self._last_words()}")
        pid, _, _ = _CREDENTIALS.unpack(ancillary[0][2])
        return int(pid)

    def _begin(self, spec: dict[str, object], level: Level) -> Enforcement:
        self._group, why_none = _group(self._processes.first)
        group = str(self._group.path) if self._group else None
        return _enforcement(self._exchange({**spec, "group": group}, _START_TIMEOUT_S), level, why_none)

    @property
    def pid(self) -> int:
        """Of the slot's first process, whose descendants all its others are."""
        return self._processes.first

    @property
    def judge_pid(self) -> int | None:
        """Of the judge that waits for the next submission to its problem; None where there is none."""
        return self._processes.judge()

    def request(
        self, request: dict[str, Any], problem: Mapping[str, Any] | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Ask the broker; a problem, named by `request["key"]`, is sent only when the slot lacks it.

        Args:
            timeout_s: how long each answer may take; None for as long as the limits allow.

        Raises:
            InfrastructureError: the slot failed; close it.
        """
        key = request.get("key")
        if problem is not None and key not in self._known:
            request = {**request, "problem": problem}
        answer = self._exchange(request, timeout_s)
        if "need" in answer:
            answer = self._exchange({**request, "problem": problem}, timeout_s)
        if key is not None:
            self._known.add(key)
        if "infrastructure" in answer:
            raise InfrastructureError(answer["infrastructure"])
        return answer

    def _exchange(self, message: dict[str, Any], timeout_s: float | None) -> dict[str, Any]:
        try:
            wait = self._patience(timeout_s)
            send_frame(self._sock, marshal.dumps(message, 2), wait)
            frame = receive_frame(self._sock, wait=wait)
        except (OSError, FrameError) as error:
            raise InfrastructureError(f"the slot's broker failed: {error}{self._last_words()}") from error
        if frame is None:
            raise InfrastructureError(f"the slot's broker is gone{self._last_words()}")
        answer: dict[str, Any] = marshal.loads(frame)  # noqa: S302 - from our own broker
        return answer

    def _patience(self, timeout_s: float | None) -> Wait:
        """Waits for the broker, for so long at most, and as long as none of the slot's processes is stopped."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        poller = select.poll()

        def wait(event: int) -> None:
            poller.register(self._sock, event)
            were_stopped: set[int] = set()
            while not poller.poll(_LOOK_EVERY_S * 1000):
                if end is not None and time.monotonic() > end:
                    raise TimeoutError(f"no answer within {timeout_s:.0f} s")
                stopped = set(self._processes.stopped())
                if stopped & were_stopped:  # not only for a moment, as when all of a job is stopped and continued
                    raise PeerGoneError("somebody has stopped one of the slot's processes")
                were_stopped = stopped

        return wait

    def _last_words(self) -> str:
        """The end of what the broker wrote to stderr, which is nothing as long as all is well."""
        if self._log.closed:
            return ""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _LAST_WORDS))
        words = self._log.read().decode("utf-8", "replace").strip()
        return f"; it said: {words}" if words else ""

    def _end_process(self) -> None:
        """End what never became a slot; it ends by itself when its socket does, unless it hangs."""
        self._sock.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def interrupt(self) -> None:
        """Make a pending request fail and end the slot; may be called from another thread."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already

    def kill(self) -> None:
        """End a slot that has failed; returns when none of its processes is left."""
        doomed = self._processes.kill()
        self.close()
        end = time.monotonic() + _END_TIMEOUT_S  # at level `landlock` each ends when its parent has
        while not all(map(has_ended, doomed)) and time.monotonic() < end:
            time.sleep(0.001)

    def close(self) -> None:
        """End the slot; returns when none of its processes is left."""
        self.interrupt()
        self._sock.close()
        try:
            self._process.wait(timeout=_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._processes.kill()
            self._process.kill()  # PID 1 of the slot dies with it, and the namespace with PID 1
            self._process.wait()
        self._log.close()
        if self._group is not None:
            self._group.close()


def _group(pid: int) -> tuple[SlotGroup | None, str]:
    """The slot's control group, with its first process in it, or why it has none.

    Raises:
        UnsupportedHostError: see control_group.find.
    """
    delegation = find()
    if isinstance(delegation, str):
        return None, delegation
    try:
        group = SlotGroup(delegation)
    except OSError as error:
        log.warning("going on without a control group below %s: %s", delegation.path, error)
        return None, str(error)
    try:
        group.add(pid)
    except OSError as error:
        group.close()
        log.warning("going on without a control group below %s: %s", delegation.path, error)
        return None, str(error)
    return group, ""


def _enforcement(hello: Mapping[str, Any], level: Level, why_no_group: str) -> Enforcement:
    if "infrastructure" in hello:
        raise InfrastructureError(f"a slot did not start: {hello['infrastructure']}")
    if "unsupported" in hello:
        raise UnsupportedHostError(
            f"this machine does not let an ordinary user set up {hello['unsupported']}: {hello['why']}; "
            "`qrpo-sandbox doctor` tells what to ask the administrator for"
        )
    broken = {name: why for name, why in hello["guards"].items() if why}
    if broken:
        listed = "; ".join(f"{name}: {why}" for name, why in broken.items())
        message = f"guards that must hold at level {level.value} do not: {listed}"
        raise UnsupportedHostError(message, broken, [name for name in hello["guards"] if name not in broken])
    absent = dict(hello["absent"])
    if why_no_group and "control_group" in absent:
        absent["control_group"] = why_no_group
    return Enforcement(
        level=level, guards=tuple(hello["guards"]), absent=MappingProxyType(absent), python=hello["python"]
    )
