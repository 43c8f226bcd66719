"""What the log looks like: one event a line, as text or JSON, and nothing of what programs hold.

An event has a name and fields. Messages of exceptions can quote whatever they were raised about (a program, its tests,
the body of a request), so a traceback is written without them: types, and places in our code.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal

from sandbox.server.request_context import request_id

log = logging.getLogger(__name__)
LogFormat = Literal["text", "json"]
Value = str | int | float | None

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
"""Printable ASCII without space, quotes, equal signs and backslashes."""
_FIELDS = "event_fields"
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure_logging(log_format: LogFormat = "text", level: str = "INFO", *, shows_values: bool = False) -> None:
    """Sends the log of this process, uvicorn's part included, to stderr.

    Give uvicorn `log_config=None, access_log=False`: the server has a line for each request itself.

    Args:
        log_format: `text`, or `json` with one object a line.
        level: DEBUG has a line for each submission, and for requests of those that watch the server.
        shows_values: tracebacks with the messages of exceptions, which can quote programs.

    Raises:
        ValueError: the level or the format is not known.
    """
    if log_format not in ("text", "json"):
        raise ValueError(f"the log's format is {log_format!r}; it must be 'text' or 'json'")
    formatter = JsonFormatter(shows_values) if log_format == "json" else TextFormatter(shows_values)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [handler]
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
    if root.level > logging.DEBUG:  # of its start and end the server tells in words of its own
        logging.getLogger("uvicorn").setLevel(max(root.level, logging.WARNING))
    # At DEBUG it tells of every step of the event loop.
    logging.getLogger("asyncio").setLevel(max(root.level, logging.INFO))


def log_event(logger: logging.Logger, level: int, event: str, fields: Mapping[str, Value]) -> None:
    """Writes an event; fields that are None are left out."""
    if logger.isEnabledFor(level):
        present = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, "%s", _Event(event, present), extra={_FIELDS: {"event": event, **present}})


def log_programs(codes: Sequence[str | None]) -> None:
    """Writes the text of each program of the request that is being served."""
    for index, code in enumerate(codes):
        log_event(log, logging.INFO, "program", {"request": request_id(), "index": index, "code": code})


class _Event:
    """The text of an event, made only where it is written."""

    def __init__(self, event: str, fields: Mapping[str, Value]) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        return " ".join([self._event, *(f"{name}={_text_of(value)}" for name, value in self._fields.items())])


class TextFormatter(logging.Formatter):
    """`TIME LEVEL LOGGER MESSAGE`; what could end a line or look like another field is quoted as in JSON."""

    def __init__(self, shows_values: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._shows_values = shows_values

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the lines of a traceback."""
        record.exc_text = None  # where formatters keep it for one another, with its message
        try:
            return super().format(record)
        finally:
            record.exc_text = None

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        """UTC, with milliseconds."""
        return _time_of(record)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802  # logging's
        """The traceback."""
        return _traceback(ei, self._shows_values)


class JsonFormatter(TextFormatter):
    """One object a line: time, level, logger, message or the fields of the event, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        row: dict[str, object] = {"time": _time_of(record), "level": record.levelname, "logger": record.name}
        fields = record.__dict__.get(_FIELDS)
        row |= fields if isinstance(fields, dict) else {"message": record.getMessage()}
        if record.exc_info:
            row["traceback"] = self.formatException(record.exc_info)
        return json.dumps(row)


def _time_of(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _text_of(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _traceback(exc_info: _ExcInfo, shows_values: bool) -> str:
    if shows_values:
        return "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    return "\n".join(_without_values(exc_info[1]))


def _without_values(error: BaseException | None) -> Iterator[str]:
    """Types and places of an exception, what it came from first."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for link in reversed(chain):
        for frame in traceback.extract_tb(link.__traceback__):
            yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        yield f"{type(link).__module__}.{type(link).__qualname__} (its message can quote programs, and is left out)"
