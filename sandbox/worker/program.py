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
from typing import Any, Dict, Mapping

from .codec import pack
from .frames import send_frame

_MAX_SOURCE = 1 << 18


def compile_program(source: str, control: socket.socket) -> Any:
    """The program's code object, or None after telling the other side why there is none."""
    try:
        source = source[source.startswith("\ufeff") :]  # a byte order mark, which python passes over in a file
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
    sys.argv = ["main.py", *payload["arguments"]]
    _write_source(payload["code"])
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
    return status if _shut_down(module) else status or 120  # as python does when the last flush fails


def _shut_down(module: types.ModuleType) -> bool:
    """What the interpreter does at its end, without taking itself apart; whether all output could be flushed."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    is_flushed = _flush()
    # The program's objects die: those with a __del__, and files that were never closed, still have output. Not those
    # that refer to each other in a circle: looking for them would cost a twentieth of a short run.
    names = module.__dict__
    for name in [name for name in names if name != "__builtins__"]:
        names[name] = None
    return _flush() and is_flushed


def _flush() -> bool:
    """Flush the standard streams, the interpreter's own as well where the program put others in their place."""
    is_flushed = True
    for stream in {id(stream): stream for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}.values():
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError, AttributeError):
            is_flushed = False
    return is_flushed


def write_files(files: Mapping[str, bytes]) -> None:
    """What the run was given, into the working folder and folders below it. Raises OSError."""
    for name, content in files.items():
        if "/" in name:
            os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(content)


def _write_source(source: str) -> None:
    """The script as a file: for tracebacks, `inspect`, and the processes that `multiprocessing` spawns."""
    if len(source) > _MAX_SOURCE:
        return  # it would take of the program's own memory
    try:
        file = os.open("main.py", os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(file, source.encode("utf-8", "surrogatepass"))
        os.close(file)
    except OSError:
        pass  # no file can be written here, or only smaller ones


def exit_status(error: SystemExit) -> int:
    """What the interpreter would exit with; it prints a message given instead of a number."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write("%s\n" % (error.code,))
    return 1
