"""Files and standard streams: choose output paths, and write files atomically."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from cotam.errors import InputError

__all__ = [
    "STANDARD",
    "Prefixed",
    "check_output",
    "growth_note",
    "identities",
    "image_input",
    "make_folder",
    "name_key",
    "plan_outputs",
    "read_input",
    "read_pipe",
    "reading",
    "remove_temporaries",
    "write_whole",
    "writing",
]

STANDARD = "-"
"""Standard input as an input, standard output as an output."""

MAX_PIPE = 1 << 30
"""Largest image from a pipe in bytes; the largest that is read has 600 MB as raw RGB."""

_SLASHES = "/", os.sep

_TEMPORARY = ".cotam-", ".tmp"
"""Prefix and suffix of the names of unfinished files."""


def growth_note(before: int, after: int, remedy: str = "") -> str:
    """Return the note for a file that grew from ``before`` to ``after`` bytes.

    ``remedy`` is what to do instead of keeping the original; by default to give a target size.
    """
    remedy = remedy or f"give a target size below {before}"
    return f"grew from {before} to {after} bytes: keep the original, or {remedy}"


def plan_outputs(
    inputs: Sequence[str], output: str | None, suffix: str, *, keep_suffix_beside: bool = False
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Choose one output for each input: return (input, output) pairs, and skipped input → reason.

    An input that is the output of another input is skipped, so that a command that writes beside its inputs
    can be run again with the same pattern. Raises ValueError, with a message of one line, if an input has no
    name to use, or two inputs would have the same output.

    Parameters
    ----------
    inputs : paths or `STANDARD`
    output : a file, `STANDARD`, or a folder (one that exists, or a name that ends in a slash); None writes
        beside each input, and to standard output for standard input
    suffix : suffix, with its dot, of outputs that are named after their input
    keep_suffix_beside : in the folder of the input, append ``suffix`` to its name instead of replacing its
        suffix
    """
    if output == "":
        raise ValueError("the name of the output is empty")
    if output is None:
        for source in inputs:
            _check_has_folder(source)
    elif output == STANDARD or not (output.endswith(_SLASHES) or os.path.isdir(output)):
        if len(inputs) > 1:
            raise ValueError(
                f"{len(inputs)} inputs need a folder as output: end its name with a slash to have it made"
            )
        return [(inputs[0], output)], {}
    elif STANDARD in inputs:
        raise ValueError("standard input has no name to use in a folder: give a file as output")
    folder = None if output is None else Path(output)
    pairs = [(source, _inside(folder, source, suffix, keep_suffix_beside)) for source in inputs]
    outputs = {_key(target): source for source, target in pairs if _key(source) != _key(target)}
    skipped = {
        source: f"is the output of {outputs[_key(source)]}: skipped"
        for source in inputs
        if source != STANDARD and _key(source) in outputs
    }
    pairs = [pair for pair in pairs if pair[0] not in skipped]
    taken: dict[str, str] = {}
    for source, target in pairs:
        if _key(target) in taken:
            raise ValueError(f"{taken[_key(target)]} and {source} would both be written to {target}")
        taken[_key(target)] = source
    return pairs, skipped


def _check_has_folder(source: str) -> None:
    """Raise ValueError for an address or a device, beside which no output can be written."""
    address = "://" in source and not os.path.exists(source)
    if address or source.startswith(("/dev/fd/", "/dev/std", "/dev/video")):
        raise ValueError(f"{source} is not in a folder: give an output with -o")


def _inside(folder: Path | None, source: str, suffix: str, keep_suffix_beside: bool) -> str:
    """Return the output of one input in ``folder``; None is the folder of the input."""
    if source == STANDARD:
        return STANDARD
    path = Path(os.path.abspath(source))  # the folder . has no name
    folder = Path(source).parent if folder is None else folder
    beside = os.path.realpath(folder) == os.path.realpath(path.parent)
    return str(folder / (path.name if beside and keep_suffix_beside else path.stem)) + suffix


def _key(path: str) -> str:
    """Return a form of a path that is equal for different spellings."""
    return path if path == STANDARD else name_key(os.path.abspath(path))


def name_key(name: str) -> str:
    """Return a form of a name that is equal for names of one file: Windows and macOS ignore case."""
    key = os.path.normcase(name)
    return key.lower() if sys.platform == "darwin" else key


def make_folder(output: str | None) -> None:
    """Make the folder of an output that ends in a slash, if it does not exist."""
    if output and output.endswith(_SLASHES):
        try:
            os.makedirs(output, exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"this folder cannot be made: {error.strerror}", output) from error


def identities(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Return device and inode of the paths that exist: equal for links to one file."""
    found = set()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return found


def check_output(path: str, sources: set[tuple[int, int]], *, overwrite: bool = True) -> None:
    """Check that an output, a file or `STANDARD`, can be written, before any work is done.

    ``sources`` are the `identities` of all inputs. Raises FileNotFoundError or NotADirectoryError if its
    folder does not exist or is a file, FileExistsError if the output is one of the inputs, or exists and
    ``overwrite`` is False.
    """
    if path == STANDARD:
        return
    if not os.path.isdir(folder := os.path.dirname(path) or os.curdir):
        number = errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
        raise OSError(number, f"cannot be written: {os.strerror(number)}", path)
    if not os.path.isfile(path):
        return
    if identities([path]) & sources:
        raise FileExistsError(errno.EEXIST, "is an input, and is not overwritten", path)
    if not overwrite:
        raise FileExistsError(errno.EEXIST, "exists already, and is not overwritten", path)


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a file or `STANDARD` for reading; it may be a pipe."""
    if path != STANDARD:
        with open(path, "rb") as file:
            yield file
    elif sys.stdin is None:  # the parent process closed it
        raise OSError(errno.EBADF, "is closed", "standard input")
    else:
        yield sys.stdin.buffer


def read_input(path: str) -> bytes:
    """Read all of a file or of `STANDARD`; pipes and devices as `read_pipe`."""
    with reading(path) as file:
        return file.read() if os.path.isfile(path) else read_pipe(file)


def read_pipe(file: BinaryIO) -> bytes:
    """Read a pipe or a device to its end. Raises InputError for more than `MAX_PIPE` bytes."""
    parts, size = [], 0
    while part := file.read(1 << 20):  # a large size would be allocated at once
        parts.append(part)
        size += len(part)
        if size > MAX_PIPE:
            raise InputError(f"more than {MAX_PIPE} bytes came, too many for an image: does it end?")
    return b"".join(parts)


def image_input(path: str) -> str | bytes:
    """Return an image as `cotam.encode` takes it: a path, or the bytes of a pipe. Raises as `read_input`."""
    return path if os.path.isfile(path) else read_input(path)


class Prefixed:
    """A stream of ``head``, which was read already, and then the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, count: int = -1) -> bytes:
        start = self._head.read(count)
        return start + self._rest.read(count if count < 0 else count - len(start))


def write_whole(path: str, data: bytes | memoryview, *, overwrite: bool = True) -> None:
    """Write a file or `STANDARD` atomically: readers and errors never leave a part of it.

    The data go to a temporary file in the same folder, which then replaces the file. Symbolic links are
    followed, permissions are kept, and a new file gets those of the umask. Pipes, devices and standard output
    are written to directly. Raises FileExistsError if the file exists and ``overwrite`` is False,
    BrokenPipeError if the reader of a pipe is gone, and OSError, whose ``filename`` is ``path``, if it cannot
    be written.
    """
    with writing(path, overwrite=overwrite) as file:
        file.write(data)


@contextmanager
def writing(path: str, *, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing in parts; it appears, whole, when the block ends without error.

    Raises as `write_whole`; errors of the block pass unchanged.
    """
    if path in (STANDARD, "/dev/stdout"):  # which may be a file that others write, too
        if sys.stdout is None:
            raise OSError(errno.EBADF, "is closed", "standard output")
        yield cast("IO[bytes]", _Sink(path, sys.stdout.fileno(), "wb", closefd=False))
        return
    with _naming(path):
        mode = _mode(path)
        regular = mode is None or stat.S_ISREG(mode)
        if mode is not None and regular:
            check_output(path, set(), overwrite=overwrite)
            os.close(os.open(path, os.O_WRONLY))  # checks the permission, which replacing does not
        target = os.path.realpath(path)
        temporary = Path(target).with_name(f"{_TEMPORARY[0]}{os.urandom(8).hex()}{_TEMPORARY[1]}")
    if not regular:
        with _naming(path):
            file = _Sink(path, path, "wb")
        with file:
            yield cast("IO[bytes]", file)
        return
    try:  # an interrupt may come right after the file is created
        with _naming(path):
            file = _Sink(path, temporary, "xb+")
        with file:
            yield cast("IO[bytes]", file)
        with _naming(path):
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):  # on a read-only file system unlinking fails, too
            temporary.unlink()
        raise


class _Sink(io.FileIO):
    """An unbuffered file whose errors name the output, not the temporary file."""

    def __init__(self, path: str, file: Any, mode: str, closefd: bool = True) -> None:
        super().__init__(file, mode, closefd)
        self._path = path

    def write(self, data: Any) -> int:
        with _naming(self._path):
            _write_all(self.fileno(), data)
        return len(data)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except (BrokenPipeError, FileExistsError):
        raise
    except OSError as error:
        name = "standard output" if path == STANDARD else path
        raise OSError(error.errno, f"cannot be written: {error.strerror}", name) from error


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write without Python's buffer, which would retry at exit what failed here."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def remove_temporaries(folder: str) -> None:
    """Remove, anywhere below a folder, temporary files of `writing` left by killed processes."""
    for where, _, names in os.walk(folder):
        for name in names:
            if name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1]):
                Path(where, name).unlink(missing_ok=True)


def _mode(path: str) -> int | None:
    """Return type and permissions, following links; None if the file does not exist."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
