"""Many inputs, one output each: several at a time, messages on standard error.

Knows files, threads and messages: nothing of pictures or options.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from cotam import files
from cotam.errors import CotamError
from cotam.format.header import read_header

__all__ = ["ERRORS", "Convert", "Screen", "describe", "run"]

ERRORS = (CotamError, OSError, MemoryError)
"""What is shown as one line instead of a traceback."""

Convert = Callable[[str, str], tuple[bytes, bytes]]
"""(input, output) → the bytes to write, and the whole .cotam file that was made or read."""


def describe(error: BaseException, name: str = "") -> str:
    """The error in one line that begins with the name of the file."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            name = str(error.filename) or "''"
    else:
        text = str(error) or "not enough memory"  # only a MemoryError comes without words
    name = "standard input" if name == files.STANDARD else name
    return " ".join((text if text.startswith(f"{name}:") or not name else f"{name}: {text}").split())


class Screen:
    """Standard error: errors always, notes unless quiet, summaries if verbose, and a progress bar."""

    def __init__(self, verbose: bool = False, quiet: bool = False) -> None:
        self._verbose, self._quiet, self._bar_shown = verbose, quiet, False
        self.failed = False

    def error(self, text: str) -> None:
        self._line(f"cotam: error: {text}")

    @contextmanager
    def reporting(self, name: str) -> Iterator[None]:
        """What goes wrong meanwhile with this input is shown, and remembered in ``failed``: others go on."""
        try:
            yield
        except BrokenPipeError:
            raise  # nobody reads the output: not worth a word
        except ERRORS as error:
            self.error(describe(error, name))
            self.failed = True

    def note(self, text: str) -> None:
        if not self._quiet:
            self._line(f"cotam: note: {text}")

    def summary(self, text: str) -> None:
        if self._verbose:
            self._line(text)

    def _line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._bar_shown else ""
        click.echo(clear + text, err=True)

    @contextmanager
    def progress(self, length: int) -> Iterator[Callable[[int], None]]:
        """A function that moves the bar on. Meanwhile warnings of libraries are shown as notes."""
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar_shown = length > 1 and on_terminal and not self._quiet and not self._verbose
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: self.note(" ".join(str(message).split()))
            if self._bar_shown:
                with click.progressbar(length=length, file=sys.stderr) as bar:
                    yield bar.update
            else:
                yield lambda steps: None


def run(
    inputs: Sequence[str],
    outputs: Sequence[str],
    convert: Convert,
    *,
    jobs: int,
    overwrite: bool,
    screen: Screen,
) -> None:
    """Write what ``convert`` makes of each input; one that fails doesn't stop the others."""
    sources = files.identities(inputs)

    def one(source: str, target: str) -> None:
        started = time.perf_counter()
        with screen.reporting(source):
            files.check_output(target, sources, overwrite=overwrite)
            data, coded = convert(source, target)
            files.write_whole(target, data, overwrite=overwrite)
            header = read_header(coded)
            bpp = 8 * len(coded) / (header.width * header.height)
            seconds = time.perf_counter() - started
            screen.summary(f"{source} -> {target}: {len(coded)} bytes, {bpp:.3f} bpp, {seconds:.2f} s")

    with screen.progress(len(inputs)) as advance:
        for _ in _each(one, inputs, outputs, jobs):
            advance(1)


def _each(
    work: Callable[[str, str], None], inputs: Sequence[str], outputs: Sequence[str], jobs: int
) -> Iterator[None]:
    """``work`` on each input, in order, with so many at a time.

    In threads: they share one loaded codec and its own threads, and what takes time lets other threads run.
    Processes were slower by the time that they need to start, for 24 pictures on two cores by a third.
    """
    if min(jobs, len(inputs)) == 1:
        yield from map(work, inputs, outputs)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(work, inputs, outputs)
    finally:
        pool.shutdown(cancel_futures=True)
