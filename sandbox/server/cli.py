"""The command `qrpo-sandbox serve`."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from containers.runtime import ContainerError
from sandbox.checkup.cli import LevelOption
from sandbox.endpoint import default_folder
from sandbox.errors import InfrastructureError, UnsupportedHostError
from sandbox.level import Level
from sandbox.limits import MIB, Limits
from sandbox.runtime_options import ImageOption, RuntimeOption, runtime_of
from sandbox.server.bearer import TokenError, new_token, read_token
from sandbox.server.listening import ListenError, Listening, listen_tcp, listen_unix
from sandbox.server.settings import Settings

_BAD_INPUT, _HOST_FAILED = 2, 7
_DEFAULTS = Settings()
_MAX = _DEFAULTS.max_limits


class LogForm(StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


def serve(  # noqa: PLR0913  # a command has the options it has
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8000,
    uds: Annotated[
        Path | None, typer.Option(help="Unix socket to listen on instead, in a folder of yours alone; needs no token.")
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be one that other machines reach. There is no TLS.")
    ] = False,
    endpoint_dir: Annotated[
        Path | None, typer.Option(help="Folder, of yours alone, where clients find it (default: one of this node).")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File, readable by you alone, with the token (default: a new one is made).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs at a time (default: one per CPU, if memory allows).")
    ] = None,
    runtime: RuntimeOption = None,
    image: ImageOption = None,
    level: LevelOption = Level.USERNS,
    drain_s: Annotated[
        float, typer.Option(min=0, help="At the end, how long what was accepted may take, s; the rest is handed back.")
    ] = 20.0,
    queue: Annotated[int, typer.Option(min=2, help="Submissions that wait or run at a time.")] = _DEFAULTS.queued,
    body_mib: Annotated[int, typer.Option(min=1, help="Size of one request.")] = _DEFAULTS.body_bytes // MIB,
    bodies_mib: Annotated[int, typer.Option(min=2, help="Of all at a time.")] = _DEFAULTS.bodies_bytes // MIB,
    problems_mib: Annotated[int, typer.Option(min=1, help="Problems held.")] = _DEFAULTS.problems_bytes // MIB,
    max_cpu_s: Annotated[float, typer.Option(help="CPU time that a request may ask for, s a test.")] = _MAX.cpu_s,
    max_memory_mib: Annotated[int, typer.Option(help="Memory that it may ask for.")] = _MAX.memory_bytes // MIB,
    log_format: Annotated[LogForm, typer.Option(help="Of a line for each request, on stderr.")] = LogForm.TEXT,
    log_programs: Annotated[
        bool, typer.Option("--log-programs", help="Let the text of programs into the log, where it helps.")
    ] = False,
) -> None:
    """Serve this sandbox over HTTP until SIGTERM or Ctrl-C, which lets it finish; a second one stops it at once.

    The line it starts with says where it is and which file has the token that clients need.
    """
    from sandbox.server.logs import configure_logging
    from sandbox.server.serve import ServeOptions  # FastAPI is what the other commands need not wait for
    from sandbox.server.serve import serve as run_server

    level_name = "DEBUG" if logging.getLogger().isEnabledFor(logging.DEBUG) else "INFO"
    configure_logging(log_format.value, level_name, shows_values=log_programs)
    try:
        settings = Settings(
            max_limits=Limits(
                cpu_s=max_cpu_s,
                total_cpu_s=10 * max_cpu_s,
                idle_s=_MAX.idle_s,
                memory_bytes=max_memory_mib * MIB,
                output_bytes=_MAX.output_bytes,
                processes=_MAX.processes,
                disk_bytes=_MAX.disk_bytes,
                open_files=_MAX.open_files,
            ),
            queued=queue,
            body_bytes=body_mib * MIB,
            bodies_bytes=bodies_mib * MIB,
            problems_bytes=problems_mib * MIB,
            logs_programs=log_programs,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    def listen() -> Listening:
        return listen_tcp(host, port, allows_remote=allow_remote) if uds is None else listen_unix(uds)

    if uds is not None and token_file is not None:
        raise typer.BadParameter("a Unix socket needs no token: leave out one of the two", param_hint="--token-file")
    try:
        token = None if uds is not None else new_token() if token_file is None else read_token(token_file)
        options = ServeOptions(
            folder=endpoint_dir or default_folder(),
            token=token,
            workers=workers,
            runtime=runtime_of(runtime, image),
            level=level,
            drain_s=drain_s,
            settings=settings,
        )
        code = run_server(listen, options, lambda line: typer.echo(line, err=True))
    except (ListenError, TokenError) as error:
        _fail(str(error), _BAD_INPUT)
    except (InfrastructureError, UnsupportedHostError, ContainerError) as error:
        _fail(str(error), _HOST_FAILED)
    except OSError as error:
        _fail(f"{error.filename or 'i/o'}: {error.strerror or error}", _BAD_INPUT)
    raise typer.Exit(code)


def _fail(message: str, code: int) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code) from None
