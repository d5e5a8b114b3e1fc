"""Convert the files of a data set in processes of this machine."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from os import _exit
from threading import Thread
from typing import TYPE_CHECKING, cast

from cotam.datasets.shards import Row, Unit, UnitConverter
from cotam.runtime import limit_threads

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

__all__ = ["DEATHS", "killed_row", "processes", "start_worker"]

DEATHS = 3
"""A unit whose worker has died this many times has failed."""


def start_worker() -> None:
    """Prepare this process as one of several: one thread for graphs, no warnings of libraries."""
    limit_threads(1)
    warnings.simplefilter("ignore")


def killed_row(unit: Unit) -> Row:
    """Return the row of a unit whose workers died."""
    error = f"{unit.source}: its worker was killed {DEATHS} times: is there too little memory for it?"
    return Row(unit.source, None, failed=[{"image": unit.source, "error": error}])


def processes(work: UnitConverter, units: Sequence[Unit], *, jobs: int) -> Generator[Row]:
    """Convert units in ``jobs`` processes with one thread each, which load the graphs once; an `Engine`.

    When closed or interrupted, it kills them, even in the middle of a file.
    """
    rest, deaths = iter(units), Counter[Unit]()
    workers: list[SpawnProcess] = []
    running: dict[Connection, Unit] = {}

    # Interrupts are exceptions of the main thread; this one finishes what it does. It is started before
    # there are workers: an executor does not wait for a thread whose own start was interrupted.
    starter = ThreadPoolExecutor(1)
    starter.submit(int).result()

    def start(unit: Unit) -> None:
        give(starter.submit(_start, work, workers).result(), unit)

    def give(pipe: Connection, unit: Unit) -> None:
        running[pipe] = unit
        with suppress(OSError):  # it has died, which receiving from it reports
            pipe.send(unit)

    try:
        for unit in islice(rest, jobs):
            start(unit)
        while running:
            for pipe in cast("list[Connection]", wait(list(running))):
                unit = running.pop(pipe)
                try:
                    found = pipe.recv()
                except (EOFError, OSError):
                    pipe.close()
                    deaths[unit] += 1
                    if deaths[unit] < DEATHS:
                        start(unit)
                        continue
                    found = killed_row(unit)
                if isinstance(found, Exception):
                    raise found
                for following in islice(rest, 1):
                    start(following) if pipe.closed else give(pipe, following)
                yield found
    finally:
        starter.shutdown()  # from here on nothing is added to workers
        for process in workers:
            process.kill()
        for process in workers:
            process.join()


def _start(work: UnitConverter, workers: list[SpawnProcess]) -> Connection:
    """Start a worker, add it to ``workers``, and return the pipe for its units and rows."""
    context = get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_serve, args=(work, its), daemon=True)
    with _signals_blocked():
        process.start()
    workers.append(process)
    its.close()
    return ours


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals for termination here and in processes started meanwhile, until `_serve` unblocks them.

    Otherwise a process that is interrupted while it starts shows a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # process.start() would do so, and unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(work: UnitConverter, pipe: Connection) -> None:
    """Convert the units that come through a pipe; the parent ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    start_worker()
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            unit = pipe.recv()
            found: Row | Exception
            try:
                found = work(unit)
            except Exception as error:
                error.add_note(traceback.format_exc())
                found = error
            pipe.send(found)


def _end_with_parent() -> None:
    """Exit when the parent process does, even in the middle of a unit."""
    parent = parent_process()
    assert parent
    parent.join()
    _exit(1)
