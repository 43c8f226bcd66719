"""The program as a script: compiled, run as `__main__`, ended as the interpreter would end it."""

from __future__ import annotations

import atexit
import builtins
import os
import socket
import sys
import threading
import traceback
import types
from typing import Any, Dict

from .codec import pack
from .frames import send_frame


def compile_program(source: str, control: socket.socket) -> Any:
    """The program's code object, or None after telling the other side why there is none."""
    try:
        return compile(source, "main.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        lines = traceback.format_exception_only(type(error), error)
        send_frame(control, pack({"compile_error": "".join(lines)[-4000:]}))
        return None


def run_program(payload: Dict[str, Any], control: socket.socket) -> int:
    """Run it to its end; its exit status."""
    code = compile_program(payload["code"], control)
    if code is None:
        return 1
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __file__="/tmp/main.py")
    sys.modules["__main__"] = module
    sys.argv = ["main.py"]
    sys.path.insert(0, os.getcwd())  # the folder of the script, as python does
    try:
        exec(code, module.__dict__)
        status = 0
    except SystemExit as error:
        status = exit_status(error)
    except BaseException as error:
        status = 1
        if type(error) is MemoryError:
            send_frame(control, pack({"memory_error": True}))
        ours = error.__traceback__
        error.__traceback__ = ours.tb_next if ours else None  # the program's own frames only
        sys.excepthook(type(error), error, error.__traceback__)
    # The interpreter's own shutdown without taking it apart: non-daemon threads, atexit, buffers.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 120  # as python does when the last flush fails
    return status


def exit_status(error: SystemExit) -> int:
    """What the interpreter would exit with; it prints a message given instead of a number."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write("%s\n" % (error.code,))
    return 1
