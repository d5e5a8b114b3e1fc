"""Lines of JSON: the log of events on standard error, and files to which rows are appended."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Any

from cotam.errors import InputError

__all__ = ["appender", "begin", "info", "warning"]

_LEFT_OUT = (
    "Unsupported upgrade request.",
    "No supported WebSocket library",
    "ASGI callable returned without completing response.",
)
"""Beginnings of uvicorn's lines about requests that have their own: WebSockets, answers that broke off."""

_LOG = logging.getLogger("cotam.gateway")


def info(message: str, **fields: object) -> None:
    """Log an event; ``fields`` are part of its line."""
    _LOG.info(message, extra={"fields": fields})


def warning(message: str, **fields: object) -> None:
    """Log a warning; ``fields`` are part of its line."""
    _LOG.warning(message, extra={"fields": fields})


def begin() -> None:
    """Write events to standard error from now on, and warnings of the server and of libraries."""
    if isinstance(sys.stderr, TextIOWrapper):  # JSON is UTF-8, which files and pipes of Windows are not
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    handler.addFilter(lambda record: not record.getMessage().startswith(_LEFT_OUT))
    for name, level in ((_LOG.name, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    warnings.showwarning = lambda message, *_, **__: warning(" ".join(str(message).split()))
    warnings.simplefilter("always", UserWarning)


def appender(path: Path) -> tuple[FileIO, Callable[[dict[str, Any]], None]]:
    """Open a file to append rows to, each as JSON in one write, from any thread.

    Returns the file, to be closed, and a function that appends a row, or logs that it cannot be written.
    Raises InputError if the file cannot be opened.
    """
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error

    def append(row: dict[str, Any]) -> None:
        try:
            file.write(json.dumps(row).encode() + b"\n")
        except OSError as error:
            warning("a row cannot be written", reason=f"{path}: {error.strerror}")

    return file, append


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        row = {"time": f"{when}.{int(record.msecs):03}Z", "level": record.levelname.lower()}
        row |= {"message": record.getMessage()} | getattr(record, "fields", {})
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)
