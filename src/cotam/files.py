"""Files of the command line: where outputs go, and writing them whole or not at all.

Knows paths, standard input and output: nothing of pictures or codecs.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

__all__ = [
    "STANDARD",
    "check_output",
    "identities",
    "make_folder",
    "plan_outputs",
    "put_back",
    "read_checked",
    "read_input",
    "reading",
    "remove_temporaries",
    "write_whole",
    "writing",
]

STANDARD = "-"
"""Stands for standard input among inputs, for standard output as an output."""

_TEMPORARY = ".cotam-", ".tmp"
"""How the name of a file that is not yet whole begins and ends."""


def plan_outputs(
    inputs: Sequence[str], output: str | None, suffix: str, *, keep_suffix_beside: bool = False
) -> list[str]:
    """One output for each input.

    Parameters
    ----------
    inputs : paths or `STANDARD`
    output : a file, `STANDARD`, or a folder: one that exists, or any name that ends in a slash; None is
        beside each input, and standard output for standard input
    suffix : of outputs that take the name of their input, with its dot
    keep_suffix_beside : in the input's own folder, add ``suffix`` after the input's rather than replace that

    Raises
    ------
    ValueError
        if an input has no name to give, or two inputs would have the same output: one line, fit to be shown
    """

    def inside(folder: Path, source: str) -> str:
        name = Path(os.path.abspath(source))  # the folder . has no name
        beside = os.path.realpath(folder) == os.path.realpath(name.parent)
        return str(folder / (name.name if beside and keep_suffix_beside else name.stem)) + suffix

    if output == "":
        raise ValueError("the name of the output is empty")
    if output is None:
        for source in inputs:
            if "://" in source or source.startswith(("/dev/fd/", "/dev/std", "/dev/video")):
                raise ValueError(f"{source} lies in no folder: give an output with -o")
        outputs = [s if s == STANDARD else inside(Path(s).parent, s) for s in inputs]
    elif output != STANDARD and (_ends_in_slash(output) or os.path.isdir(output)):
        if STANDARD in inputs:
            raise ValueError("standard input has no name to use in a folder: give a file as output")
        outputs = [inside(Path(output), s) for s in inputs]
    elif len(inputs) > 1:
        raise ValueError(
            f"{len(inputs)} inputs need a folder as output: end its name with a slash to have it made"
        )
    else:
        outputs = [output]
    _check_different(inputs, outputs)
    return outputs


def _check_different(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for source, target in zip(inputs, outputs, strict=True):
        key = os.path.normcase(os.path.abspath(target)) if target != STANDARD else target
        if key in seen:
            raise ValueError(f"{seen[key]} and {source} would both be written to {target}")
        seen[key] = source


def make_folder(output: str | None) -> None:
    """Make the folder that an output asks for by the slash at its end, if it is not there."""
    if output and _ends_in_slash(output):
        try:
            os.makedirs(output, exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"this folder cannot be made: {error.strerror}", output) from error


def _ends_in_slash(output: str) -> bool:
    return output.endswith(("/", os.sep))


def identities(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Device and number of those paths that exist: equal for one file under two names (links)."""
    found = set()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return found


def check_output(path: str, sources: set[tuple[int, int]], *, overwrite: bool = True) -> None:
    """Refuse, before the work, an output that may not be written after it.

    Parameters
    ----------
    path : file, or `STANDARD`
    sources : `identities` of all inputs
    overwrite : False refuses a file that exists

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        if its folder is not there, or none
    FileExistsError
        if the output is one of the inputs, or exists and ``overwrite`` is False
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
    """A file, or `STANDARD`, to be read once: it may be a pipe."""
    if path != STANDARD:
        with open(path, "rb") as file:
            yield file
    elif sys.stdin is None:  # closed by whoever started this process
        raise OSError(errno.EBADF, "is closed", "standard input")
    else:
        yield sys.stdin.buffer


def read_input(path: str, head: int = 0, check: Callable[[bytes], object] | None = None) -> bytes:
    """The whole of a file, or of `STANDARD`, unless ``check`` raises for its first ``head`` bytes."""
    with reading(path) as file:
        return read_checked(file, head, check)


def read_checked(file: BinaryIO, head: int = 0, check: Callable[[bytes], object] | None = None) -> bytes:
    """As `read_input`, of what is open."""
    start = file.read(head)
    if check:
        check(start)
    return start + file.read()


def put_back(head: bytes, rest: BinaryIO) -> BinaryIO:
    """A stream of which the ``head`` was read already: it comes again, and then the rest."""
    return cast("BinaryIO", _Begun(head, rest))


class _Begun:
    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, count: int = -1) -> bytes:
        start = self._head.read(count)
        return start + self._rest.read(count if count < 0 else count - len(start))


def write_whole(path: str, data: bytes | memoryview, *, overwrite: bool = True) -> None:
    """Write a file so that at no time, and after no error, a part of it is there.

    The data go to a temporary file in the same folder, which then replaces the file: a symbolic link to it is
    followed, its permissions stay, and a new file gets those of the umask. What is no regular file (a pipe, a
    device) and standard output are written to as they are.

    Parameters
    ----------
    path : file, or `STANDARD`
    overwrite : False refuses a file that exists

    Raises
    ------
    FileExistsError
        if the file exists and ``overwrite`` is False
    BrokenPipeError
        if the reader of a pipe has gone
    OSError
        if it cannot be written; ``filename`` is ``path``
    """
    with writing(path, overwrite=overwrite) as file:
        file.write(data)


@contextmanager
def writing(path: str, *, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """A file to write part by part; it is there, whole, once all went well: see `write_whole`.

    Raises
    ------
    FileExistsError, BrokenPipeError, OSError
        as `write_whole`; errors of what is done meanwhile pass as they are
    """
    if path == STANDARD:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "is closed", "standard output")
        yield cast("IO[bytes]", _Sink(path, sys.stdout.fileno(), "wb", closefd=False))
        return
    with _naming(path):
        mode = _mode(path)
        regular = mode is None or stat.S_ISREG(mode)
        if mode is not None and regular:
            check_output(path, set(), overwrite=overwrite)
            os.close(os.open(path, os.O_WRONLY))  # asks whether it may be written, which replacing would not
        target = os.path.realpath(path)
        temporary = Path(target).with_name(f"{_TEMPORARY[0]}{os.urandom(8).hex()}{_TEMPORARY[1]}")
        file = _Sink(path, temporary, "xb+") if regular else _Sink(path, path, "wb")
    if not regular:
        with file:
            yield cast("IO[bytes]", file)
        return
    try:
        with file:
            yield cast("IO[bytes]", file)
        with _naming(path):
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _Sink(io.FileIO):
    """An unbuffered file whose errors name the output and not the temporary file."""

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
    """Past Python's buffer, which would try again at exit what failed here."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def remove_temporaries(folder: str) -> None:
    """Remove what processes that were killed left of `writing` anywhere below a folder."""
    for where, _, names in os.walk(folder):
        for name in names:
            if name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1]):
                Path(where, name).unlink(missing_ok=True)


def _mode(path: str) -> int | None:
    """Type and permissions, links followed; None if there is no such file."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
