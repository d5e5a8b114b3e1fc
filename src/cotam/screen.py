"""Show errors, notes, summaries and progress on standard error, and JSON on standard output."""

from __future__ import annotations

import errno
import json
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from cotam import files
from cotam.errors import CotamError, InputError

__all__ = ["ERRORS", "Report", "Screen", "align_columns", "counted", "describe", "show", "shown_name"]

_NO_LOG = logging.NullHandler()

ERRORS = (CotamError, OSError, MemoryError)
"""Errors that are shown as one line instead of a traceback."""


def describe(error: BaseException, name: str = "") -> str:
    """Format an error as one line that begins with the name of the file."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            name = str(error.filename) or "''"
    else:
        text = str(error) or "not enough memory"  # only a MemoryError has no text
    name = shown_name(name)
    return " ".join((text if text.startswith(f"{name}:") or not name else f"{name}: {text}").split())


def shown_name(name: str) -> str:
    """Return the name of an input for people."""
    return "standard input" if name == files.STANDARD else name


def counted(number: int, noun: str) -> str:
    """Format a number of things, with the noun in the plural unless there is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show(text: str) -> None:
    """Print a result on standard output. Raises OSError if it is closed, or cannot be written."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "is closed", "standard output")
    click.echo(text)


def align_columns(lines: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Align the columns of a table, two spaces apart; with ``numbers`` all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = []
    for first, *rest in lines:
        texts = zip(rest, widths[1:], strict=True)
        cells = (text.rjust(width) if numbers else text.ljust(width) for text, width in texts)
        aligned.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return aligned


class Writers:
    """The threads that write an output and show it, so that an interrupt comes before or after.

    Each does so in a block ``with writers:``.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count, self._ended = 0, False

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._ended)
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def end(self, timeout: float) -> None:
        """Let no other block begin, and wait for those that have, for at most so many seconds."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._count, timeout)


class Report:
    """Notes and results of one input."""

    def __init__(self, screen: Screen, name: str) -> None:
        self._screen, self.name, self.writing = screen, name, screen.writing
        self.notes: list[str] = []
        self.fields: dict[str, Any] = {}
        self._started = time.perf_counter()

    def note(self, text: str) -> None:
        """Report what was repaired, left out or assumed. Raises InputError if notes are errors."""
        if self._screen.strict:
            raise InputError(f"{shown_name(self.name)}: {text}")
        if text in self.notes:
            return  # Pillow warns each time that it reads a damaged header
        self.notes.append(text)
        self._screen.note(f"{shown_name(self.name)}: {text}")

    def show_result(self, output: str, text: str, **fields: Any) -> None:
        """Show what was written: ``text`` for people, ``fields`` for JSON."""
        seconds = time.perf_counter() - self._started
        self.fields |= {"output": output, **fields, "seconds": round(seconds, 4)}
        target = "standard output" if output == files.STANDARD else output
        self._screen.summary(f"{shown_name(self.name)} -> {target}: {text}, {seconds:.2f} s")


class Screen:
    """Messages on standard error: errors, notes unless quiet, summaries if verbose, and a progress bar.

    Attributes
    ----------
    strict : whether notes are errors
    as_json : whether results go to standard output as lines of JSON
    failed : whether an input has failed
    writing : see `Writers`
    """

    def __init__(
        self, verbose: bool = False, quiet: bool = False, *, strict: bool = False, as_json: bool = False
    ) -> None:
        self.strict, self.as_json, self.failed = strict, as_json, False
        self._verbose, self._quiet = verbose, quiet
        self._bar_shown = False
        self.writing = Writers()
        self._now = threading.local()

    def error(self, text: str) -> None:
        """Show an error."""
        self._line(f"cotam: error: {text}")

    @contextmanager
    def reporting(self, name: str) -> Iterator[Report]:
        """Show an error of this input instead of raising it, and set ``failed``.

        With JSON, a line with notes and result or error of the input goes to standard output.
        """
        report = Report(self, name)
        self._now.report = report
        try:
            yield report
        except BrokenPipeError:
            raise  # the reader of the output is gone
        except ERRORS as error:
            report.fields = {"error": describe(error, name)}
            self.error(report.fields["error"])
            self.failed = True
        finally:
            self._now.report = None
        if self.as_json:
            self.row({"file": name, **report.fields, "notes": report.notes})

    def row(self, fields: dict[str, Any]) -> None:
        """Print a line of JSON, if ``as_json``."""
        if self.as_json:
            show(json.dumps(fields))

    def note(self, text: str) -> None:
        """Show a note on what was repaired, left out or assumed."""
        if not self._quiet:
            self._line(f"cotam: note: {text}")

    def summary(self, text: str) -> None:
        """Show what was written."""
        if self._verbose:
            self._line(text)

    def _line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._bar_shown else ""
        click.echo(clear + " ".join(text.splitlines()), err=True)

    def _warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        """Show a warning of a library as a note of the input that this thread processes."""
        text = " ".join(str(message).split())
        report: Report | None = getattr(self._now, "report", None)
        if report is None:
            self.note(text)
        else:
            report.note(text.removeprefix(f"{report.name}: "))

    @contextmanager
    def progress(self, length: int) -> Iterator[Callable[[int], None]]:
        """Show warnings of libraries as notes, and a progress bar that the yielded function advances.

        There is no bar for a ``length`` of 0 or 1.
        """
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar_shown = length > 1 and on_terminal and not self._quiet and not self._verbose
        logging.getLogger("PIL").addHandler(_NO_LOG)  # its errors come as exceptions, too
        with warnings.catch_warnings():
            warnings.showwarning = self._warning
            warnings.simplefilter("always", UserWarning)
            if self._bar_shown:
                with click.progressbar(length=length, file=sys.stderr) as bar:
                    yield bar.update
            else:
                yield lambda steps: None

    def end(self) -> None:
        """Exit the running command with code 1 if an input failed."""
        if self.failed:
            click.get_current_context().exit(1)
