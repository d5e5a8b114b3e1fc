"""Data sets: what is to be done, what is done already, and processes that do the rest.

Knows folders, the manifest and local processes: nothing of pictures. Any function that yields the row of each
unit, in any order, can take the place of `processes`.

``manifest.jsonl`` in the target's folder says first how its outputs are made, then one line for each that
is whole. Lines are added as outputs are finished, and sorted at the end: a run that was killed goes on from
there, and the manifest of two runs is the same if the outputs are.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from cotam import files
from cotam.datasets.shards import TABLES, Row, Unit, Work, output_of, require_tables
from cotam.errors import InputError
from cotam.runtime import limit_threads
from cotam.screen import Screen

__all__ = ["DEATHS", "FAILURES", "MANIFEST", "Engine", "died", "plan", "processes", "run", "start_worker"]

MANIFEST, FAILURES = "manifest.jsonl", "failures.jsonl"

DEATHS = 3
"""A unit whose worker died so many times has failed."""

Engine = Callable[[Work, Sequence[Unit]], Iterable[Row]]
"""Does the units, and gives the row of each as it is done."""


def plan(work: Work, name: str | None = None) -> tuple[list[Unit], list[Row]]:
    """What is to be done, by name, and rows of what cannot be: a name that another output has.

    Parameters
    ----------
    work : its source is walked, without its target if that lies within
    name : of one file in the source's folder, instead of all

    Raises
    ------
    InputError
        if there is nothing to do, or outputs would lie among inputs
    MissingExtraError
        if there are Parquet files, and nothing to read them with
    """
    if os.path.realpath(work.source) == os.path.realpath(work.target):
        raise InputError(f"{work.target}: outputs would lie among the inputs: give another folder")
    units, refused = [], []
    taken: dict[str, str] = {}
    for source in [name] if name else sorted(_below(work.source, work.target)):
        output = output_of(source, work.conversion)
        if output is None:
            continue
        if output in taken:
            error = f"{source}: would be written to {output}, as {taken[output]} is"
            refused.append(Row(source, None, failed=[{"picture": source, "error": error}]))
            continue
        taken[output] = source
        units.append(Unit(source, output))
    if not units:
        kinds = ", ".join(sorted(work.conversion.takes))
        where = os.path.join(work.source, name or "")
        raise InputError(f"{where}: nothing to convert: expected {kinds}, .parquet or .tar")
    if any(unit.source.lower().endswith(TABLES) for unit in units):
        require_tables()
    return units, refused


def _below(folder: str, left_out: str) -> Iterator[str]:
    """Names of the files below a folder, with slashes."""
    left_out = os.path.realpath(left_out)

    def fail(error: OSError) -> None:
        raise error

    for where, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(where, name)) != left_out]
        for name in names:
            yield os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/")


class _Manifest:
    """The rows of finished outputs, on disk as soon as they are told."""

    def __init__(self, folder: str, settings: dict[str, Any], *, overwrite: bool) -> None:
        self._folder, self._path = folder, os.path.join(folder, MANIFEST)
        self._settings = json.loads(json.dumps(settings))  # as it will be read again
        self.rows: dict[str, dict[str, Any]] = {}
        if not overwrite:
            self._read()
        self._write()
        self._log = open(self._path, "ab", buffering=0)  # noqa: SIM115

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                first, *lines = file.read().splitlines() or [b""]
        except FileNotFoundError:
            return
        found = _parsed(first)
        if found != self._settings:
            there = found or {}
            names = sorted(n for n in {*there, *self._settings} if there.get(n) != self._settings.get(n))
            what = ", ".join(f"{n} {there.get(n)!r}, not {self._settings.get(n)!r}" for n in names)
            raise InputError(
                f"{self._folder}: outputs there were made with {what}: give another folder, or --overwrite"
            )
        for row in map(_parsed, lines):
            if row and os.path.exists(os.path.join(self._folder, row["output"])):
                self.rows[row["source"]] = row

    def add(self, row: Row) -> None:
        if row.output is not None:
            self.rows[row.source] = row.as_dict()
            self._log.write(_line(self.rows[row.source]))

    def close(self) -> None:
        self._log.close()
        self._write()

    def _write(self) -> None:
        lines = [_line(self.rows[source]) for source in sorted(self.rows)]
        files.write_whole(self._path, _line(self._settings) + b"".join(lines))


def _parsed(line: bytes) -> dict[str, Any] | None:
    """None of a line that was cut off when its writer was killed."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def run(
    work: Work, engine: Engine, screen: Screen, *, name: str | None = None, overwrite: bool = False
) -> bool:
    """Do what is not done yet; see the module.

    Returns
    -------
    whether no picture failed, today or in an output that is there: the failed ones are in ``failures.jsonl``

    Raises
    ------
    InputError
        as `plan`, or if the outputs that are there were made in another way and ``overwrite`` is False
    """
    plans = plan(work, name)
    os.makedirs(work.target, exist_ok=True)
    with _alone(work.target):
        return _run(work, *plans, engine, screen, overwrite)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Keep out other runs on this machine: they would remove what this one has half written."""
    try:
        import fcntl
    except ModuleNotFoundError:  # on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(f"{folder}: another run is writing there") from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(descriptor)


def _run(
    work: Work, units: list[Unit], refused: list[Row], engine: Engine, screen: Screen, overwrite: bool
) -> bool:
    files.remove_temporaries(work.target)
    settings = work.conversion.settings() | {"column": work.column}
    manifest = _Manifest(work.target, settings, overwrite=overwrite)
    wanted = {unit.source for unit in units}
    failed = [*refused, *(Row(**row) for source, row in manifest.rows.items() if source in wanted)]
    todo = [unit for unit in units if unit.source not in manifest.rows]
    if len(todo) < len(units):
        screen.note(f"{len(units) - len(todo)} of {len(units)} files were done before")
    started, total = time.perf_counter(), Counter[str]()
    try:
        with screen.progress(len(todo)) as advance:
            for row in engine(work, todo):
                manifest.add(row)
                failed.append(row)
                total.update(pictures=row.pictures, bytes_in=row.bytes_in, bytes_out=row.bytes_out)
                screen.summary(f"{row.source}: {row.pictures} pictures, {row.bytes_out} bytes")
                advance(1)
    finally:
        manifest.close()
        files.remove_temporaries(work.target)  # of workers that were killed
        failures = _write_failures(work.target, failed)
    seconds = time.perf_counter() - started
    screen.note(
        f"{total['pictures']} pictures in {seconds:.1f} s, {total['pictures'] / seconds:.1f} a second: "
        f"{total['bytes_in']} -> {total['bytes_out']} bytes"
    )
    if failures:
        screen.error(f"{failures} failed: {os.path.join(work.target, FAILURES)} says why")
    return not failures


def _write_failures(folder: str, rows: Iterable[Row]) -> int:
    """Write the file of failures, or remove it where there are none; their number."""
    path = os.path.join(folder, FAILURES)
    failures = [{"source": row.source, **each} for row in rows for each in row.failed]
    if failures:
        failures.sort(key=lambda each: (each["source"], each["picture"]))
        files.write_whole(path, b"".join(map(_line, failures)))
    elif os.path.exists(path):
        os.remove(path)
    return len(failures)


# Local processes

_work: Work


def start_worker(work: Work | None = None, threads: int = 1) -> None:
    """Make this process one of several: few threads for its graphs, and no warnings of libraries."""
    global _work
    limit_threads(threads)
    warnings.simplefilter("ignore")
    if work:
        _work = work


def _start(work: Work) -> None:
    start_worker(work)
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))  # quietly; what is half-written is removed


def _end_with_parent() -> None:
    """A worker waits for more to do for ever: it does not see that nobody is there to say so."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)


def _do(unit: Unit) -> Row:
    return _work(unit)


def died(unit: Unit) -> Row:
    """The row of a unit whose workers died."""
    error = f"{unit.source}: its worker was killed {DEATHS} times: is there too little memory for it?"
    return Row(unit.source, None, failed=[{"picture": unit.source, "error": error}])


def processes(work: Work, units: Sequence[Unit], *, jobs: int) -> Iterator[Row]:
    """An `Engine` of ``jobs`` processes with one thread each, which load the graphs once.

    One pool for each process: when it dies, it is known which unit it had, and the others go on.
    """
    start = partial(ProcessPoolExecutor, 1, get_context("spawn"), _start, (work,))
    rest, deaths = iter(units), Counter[Unit]()
    running: dict[Future[Row], tuple[Unit, ProcessPoolExecutor]] = {}

    def submit(pool: ProcessPoolExecutor, unit: Unit | None) -> None:
        if unit is None:
            pool.shutdown()
        else:
            running[pool.submit(_do, unit)] = unit, pool

    try:
        for _ in range(min(jobs, len(units))):
            submit(start(), next(rest, None))
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                unit, pool = running.pop(future)
                try:
                    row = future.result()
                except BrokenProcessPool:
                    pool.shutdown()
                    deaths[unit] += 1
                    if deaths[unit] < DEATHS:
                        submit(start(), unit)
                        continue
                    row, pool = died(unit), start()
                submit(pool, next(rest, None))
                yield row
    finally:
        for _, pool in running.values():
            pool.shutdown(wait=False, cancel_futures=True)
