"""Convert a data set: plan the work, skip what is done, and keep a manifest.

The first line of ``manifest.jsonl`` in the target folder has the settings of the outputs; then comes a line
for each finished output, with size and modification time of its source. Lines are added as outputs are
finished, so that a killed run can be resumed, and sorted at the end, so that their order is always the same.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cotam import files
from cotam.datasets.shards import TABLES, Row, Unit, UnitConverter, is_apple_double, output_of, require_tables
from cotam.errors import InputError
from cotam.screen import counted

__all__ = [
    "FAILURES",
    "MANIFEST",
    "NOTES",
    "Contents",
    "Engine",
    "Outcome",
    "Watch",
    "find_contents",
    "run",
]

MANIFEST, FAILURES, NOTES = "manifest.jsonl", "failures.jsonl", "notes.jsonl"

Engine = Callable[[UnitConverter, Sequence[Unit]], Generator[Row]]
"""Converts units in any order, and yields the row of each when it is done. When closed, it writes no more."""


Stamp = tuple[int, int]
"""Size in bytes and modification time in seconds of a source: whole seconds, which most copies keep."""


@dataclass
class Contents:
    """The contents of a data set."""

    units: list[Unit] = field(default_factory=list)  # files to convert, by name
    stamps: dict[str, Stamp] = field(default_factory=dict)  # of their sources, by name
    # sources of units whose output was made from a file with another stamp
    changed: list[str] = field(default_factory=list)
    # rows of files and folders that cannot be read, or whose output has another source
    refused: list[Row] = field(default_factory=list)
    # name → kind of entries that are not read: pipes, sockets, devices, broken links, and links to folders
    special: dict[str, str] = field(default_factory=dict)
    # suffix → number of files of other kinds, which are not converted
    other: Counter[str] = field(default_factory=Counter)

    def refuse(self, source: str, error: str) -> None:
        """Add a row to ``refused``."""
        self.refused.append(Row(source, None, failed=[{"image": source, "error": error}]))


Watch = Callable[[Contents, int], AbstractContextManager[Callable[[Row], None]]]
"""Shows the progress of a run: (contents, number of units to convert) → context of a function that is called
with the row of each finished unit."""


@dataclass(frozen=True)
class Outcome:
    """The result of a run."""

    images: int  # number of images converted in this run
    bytes_in: int  # bytes of the converted images
    bytes_out: int  # bytes of what they became
    seconds: float  # duration of the run
    failures: int  # number of lines in `FAILURES`, earlier runs included
    notes: int  # number of lines in `NOTES`, earlier runs included


def find_contents(work: UnitConverter, name: str | None = None) -> Contents:
    """Find the files to convert: all in the source folder but a target folder inside, or only ``name``.

    Raises InputError if there is nothing to convert, or outputs would lie among inputs, and MissingExtraError
    if there are Parquet files and pyarrow is not installed.
    """
    if os.path.realpath(work.source) == os.path.realpath(work.target):
        raise InputError(f"{work.target}: outputs would lie among the inputs: give another folder")
    found = Contents()
    taken: dict[str, str] = {}
    for source in [name] if name else sorted(_below(work.source, work.target, found)):
        output = output_of(source, work.conversion)
        try:
            stamp = _stamp(os.path.join(work.source, source))
        except OSError as error:
            found.refuse(source, f"{source}: {error.strerror}")
            continue
        if isinstance(stamp, str):
            found.special[source] = stamp
        elif output is None:
            if source not in (MANIFEST, FAILURES, NOTES):  # of the run that wrote this folder
                found.other[_kind(source)] += 1
        elif (key := files.name_key(output)) in taken:
            found.refuse(source, f"{source}: would be written to {output}, as {taken[key]} is")
        else:
            taken[key] = source
            found.units.append(Unit(source, output))
            found.stamps[source] = stamp
    if not found.units and found.refused:
        raise InputError(found.refused[0].failed[0]["error"])
    if not found.units:
        kinds = ", ".join(sorted(work.conversion.takes))
        where = os.path.join(work.source, name) if name else work.source
        raise InputError(f"{where}: nothing to convert: expected {kinds}, .parquet or .tar")
    if any(unit.source.lower().endswith(TABLES) for unit in found.units):
        require_tables()
    return found


def _kind(name: str) -> str:
    """Return the suffix of a file that is not converted, in lower case, or what it is instead."""
    return "._*" if is_apple_double(name) else os.path.splitext(name)[1].lower() or "without suffix"


def _stamp(path: str) -> Stamp | str:
    """Return the stamp of a regular file, following links, and the kind of any other entry.

    Raises OSError if it cannot be read.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        # The conversion reports a file that is gone.
        return "a broken link" if os.path.islink(path) else (0, 0)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return f"not readable ({error.strerror})"
    if stat.S_ISREG(found.st_mode):
        return found.st_size, int(found.st_mtime)
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(found.st_mode), "a device")


def _below(folder: str, left_out: str, found: Contents) -> Iterator[str]:
    """Yield the names of all files below a folder, with slashes. Links to folders are not followed.

    Raises OSError if the folder itself cannot be read.
    """
    left_out = os.path.realpath(left_out)

    def name_of(path: str) -> str:
        return os.path.relpath(path, folder).replace(os.sep, "/")

    def fail(error: OSError) -> None:
        if error.filename == folder:
            raise error
        name = name_of(error.filename)
        found.refuse(name, f"{name}: {error.strerror}")

    for where, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(where, name)) != left_out]
        for name in folders:
            if os.path.islink(path := os.path.join(where, name)):
                found.special[name_of(path)] = "a link to a folder"
        for name in names:
            yield name_of(os.path.join(where, name))


_ROW = tuple(each.name for each in fields(Row))
_STAMP = ("size", "modified")


class _Manifest:
    """The rows of finished outputs, written to disk as they are added."""

    def __init__(self, folder: str, settings: dict[str, Any], *, overwrite: bool) -> None:
        self._folder, self._path = folder, os.path.join(folder, MANIFEST)
        self._settings = json.loads(json.dumps(settings))  # as they are read from the file
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
        there = _parse(first) or {}
        if "makes" not in there:
            raise InputError(
                f"{self._path}: is no manifest of cotam batch: give another folder, or --overwrite"
            )
        if there != self._settings:
            names = sorted(n for n in {*there, *self._settings} if there.get(n) != self._settings.get(n))
            what = ", ".join(f"{n} {there.get(n)!r}, not {self._settings.get(n)!r}" for n in names)
            raise InputError(
                f"{self._folder}: outputs there were made with {what}: give another folder, or --overwrite"
            )
        known = {*_ROW, *_STAMP}
        for row in map(_parse, lines):
            if row and row.keys() == known and os.path.exists(os.path.join(self._folder, row["output"])):
                self.rows[row["source"]] = row

    def done(self, stamps: dict[str, Stamp]) -> dict[str, Row]:
        """Return the rows of outputs that were made from sources with these stamps."""
        return {
            source: Row(**{name: row[name] for name in _ROW})
            for source, row in self.rows.items()
            if stamps.get(source) == tuple(row[name] for name in _STAMP)
        }

    def add(self, row: Row, stamp: Stamp) -> None:
        """Add a finished output. If there is none, remove what was made from an earlier source."""
        if row.output is not None:
            self.rows[row.source] = asdict(row) | dict(zip(_STAMP, stamp, strict=True))
            self._log.write(_line(self.rows[row.source]))
        elif before := self.rows.pop(row.source, None):
            with suppress(FileNotFoundError):
                os.remove(os.path.join(self._folder, before["output"]))

    def close(self) -> None:
        self._log.close()
        self._write()

    def _write(self) -> None:
        lines = [_line(self.rows[source]) for source in sorted(self.rows)]
        files.write_whole(self._path, _line(self._settings) + b"".join(lines))


def _parse(line: bytes) -> dict[str, Any] | None:
    """Parse an object; None for a line truncated when its writer was killed."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def run(
    work: UnitConverter,
    engine: Engine,
    *,
    name: str | None = None,
    overwrite: bool = False,
    watch: Watch = lambda contents, todo: nullcontext(lambda row: None),
) -> Outcome:
    """Convert what is new or has changed, or with ``overwrite`` everything; ``name`` is the only file.

    Raises as `find_contents`, and without ``overwrite`` InputError if existing outputs have other settings,
    or if files that no run has written would be replaced.
    """
    found = find_contents(work, name)
    os.makedirs(work.target, exist_ok=True)
    with _locked(work.target):
        return _run(work, found, engine, watch, overwrite)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Lock out other runs on this machine, which would remove the unfinished files of this one."""
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


def _run(work: UnitConverter, found: Contents, engine: Engine, watch: Watch, overwrite: bool) -> Outcome:
    if not overwrite:
        _check_foreign(work.target, found.units)
    files.remove_temporaries(work.target)
    settings = work.conversion.settings() | {"column": work.column, "members": list(work.members)}
    manifest = _Manifest(work.target, settings, overwrite=overwrite)
    before = manifest.done(found.stamps)
    rows = [*found.refused, *before.values()]
    todo = [unit for unit in found.units if unit.source not in before]
    found.changed = [unit.source for unit in todo if unit.source in manifest.rows]
    started, done = time.perf_counter(), list[Row]()
    try:
        with watch(found, len(todo)) as finished, closing(engine(work, todo)) as rows_done:
            for row in rows_done:
                manifest.add(row, found.stamps[row.source])
                done.append(row)
                finished(row)
    finally:
        manifest.close()
        files.remove_temporaries(work.target)  # of workers that were killed
        failures = [{"source": row.source, **each} for row in rows + done for each in row.failed]
        notes = [{"source": row.source, **each} for row in rows + done for each in row.notes]
        _write_list(os.path.join(work.target, FAILURES), failures)
        _write_list(os.path.join(work.target, NOTES), notes)
    seconds = time.perf_counter() - started
    return Outcome(
        images=sum(row.images for row in done),
        bytes_in=sum(row.bytes_in for row in done),
        bytes_out=sum(row.bytes_out for row in done),
        seconds=seconds,
        failures=len(failures),
        notes=len(notes),
    )


def _check_foreign(target: str, units: Sequence[Unit]) -> None:
    """Raise InputError if outputs would replace files in a folder in which no run has written."""
    if MANIFEST in (names := os.listdir(target)) or not names:
        return
    outputs = [*(unit.output for unit in units), FAILURES, NOTES]
    there = [name for name in outputs if os.path.lexists(os.path.join(target, name))]
    if there:
        raise InputError(
            f"{target}: {counted(len(there), 'file')} there would be replaced, such as {there[0]}: give "
            "another folder, or --overwrite"
        )


def _write_list(path: str, entries: list[dict[str, str]]) -> None:
    """Write a line for each entry; without entries, remove the file."""
    if entries:
        entries.sort(key=lambda each: (each["source"], each["image"]))
        files.write_whole(path, b"".join(map(_line, entries)))
    elif os.path.exists(path):
        os.remove(path)
