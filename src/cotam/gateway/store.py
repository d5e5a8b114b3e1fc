"""The store of a gateway: files by SHA-256, so that each image crosses the link once.

::

    FOLDER/OWNER/SHA256      one file each, if the store is on disk

A store is bounded in bytes and in age, and removes the least recently used files first. Files are looked up
only among those of their owner: two owners of the same bytes store them twice, and neither can find out about
the other.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from cotam import files
from cotam.errors import InputError
from cotam.gateway import log
from cotam.gateway.cache import OVERHEAD

__all__ = ["RequestFiles", "Store", "digest_of"]

_Key = tuple[str, bytes]
"""Owner and SHA-256."""


@dataclass
class _Entry:
    size: int
    used: float
    data: bytes | None


def digest_of(data: bytes) -> bytes:
    """Return the SHA-256 of ``data``, 32 bytes."""
    return hashlib.sha256(data).digest()


class Store:
    """A bounded store of files, safe to use from several threads.

    Raises InputError if ``folder`` cannot be created, read or written.

    Parameters
    ----------
    limit : largest total size in bytes, with 1,000 bytes of overhead per file; 0 stores nothing
    age : seconds after its last use at which a file is removed
    folder : folder of the files, which survive a restart; None keeps them in memory. It belongs to one
        process and is created with access for its user only. Damaged files are treated as absent.
    """

    def __init__(
        self,
        limit: int,
        age: float = 86_400,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limit, self._age, self._folder, self._clock = limit, age, folder, clock
        self._lock = Lock()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._held = 0
        if folder:
            try:
                self._scan(folder)
            except OSError as error:
                raise InputError(f"{folder}: cannot be used as a store: {error.strerror}") from error

    @property
    def held(self) -> int:
        """Bytes that are stored, overhead included; at most ``limit``."""
        return self._held

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, owner: str, data: bytes) -> bytes:
        """Store ``data`` for ``owner``, if there is room for it at all, and return its SHA-256."""
        digest = digest_of(data)
        size = len(data) + OVERHEAD
        if size > self._limit or self.get(owner, digest) is not None:
            return digest
        used = self._clock()
        if self._folder and not _write(self._path(owner, digest), data, used):
            return digest
        with self._lock:
            self._add((owner, digest), _Entry(size, used, None if self._folder else data))
            self._shrink()
        return digest

    def get(self, owner: str, digest: bytes) -> bytes | None:
        """Return the file of ``owner`` with this SHA-256, or None."""
        key = owner, digest
        with self._lock:
            self._shrink()
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.used = self._clock()
            self._entries.move_to_end(key)
        if entry.data is not None or not self._folder:
            return entry.data
        data = _read(self._path(owner, digest), digest, entry.used)
        if data is None:
            with self._lock:
                self._drop(key)
        return data

    def holds(self, owner: str, digest: bytes) -> bool:
        """Whether `get` would look for this file, which is not read."""
        with self._lock:
            self._shrink()
            return (owner, digest) in self._entries

    def _scan(self, folder: Path) -> None:
        """Take over the files of an earlier process."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # it can be written
        files.remove_temporaries(str(folder))
        found = []
        for path in folder.glob("*/*"):
            if re.fullmatch("[0-9a-f]{64}", path.name):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        for used, size, path in sorted(found, key=lambda row: row[0]):
            key = path.parent.name, bytes.fromhex(path.name)
            self._add(key, _Entry(size + OVERHEAD, used, None))
        self._shrink()

    def _path(self, owner: str, digest: bytes) -> Path:
        assert self._folder
        return self._folder / owner / digest.hex()

    def _add(self, key: _Key, entry: _Entry) -> None:
        old = self._entries.pop(key, None)
        self._entries[key] = entry
        self._held += entry.size - (old.size if old else 0)

    def _shrink(self) -> None:
        """Drop entries, least recently used first, until size and age are within the limits."""
        oldest = self._clock() - self._age
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if self._held <= self._limit and entry.used >= oldest:
                return
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._held -= entry.size
        if self._folder:
            with suppress(OSError):
                self._path(*key).unlink(missing_ok=True)


@dataclass(frozen=True)
class RequestFiles:
    """The files that a request may use: its own, and those stored for its owner."""

    store: Store
    owner: str
    files: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)

    def get(self, digest: bytes) -> bytes | None:
        """Return the file with this SHA-256, or None."""
        return self.files.get(digest) or self.store.get(self.owner, digest)


def _write(path: Path, data: bytes, used: float) -> bool:
    """Write a file whole or not at all, and return whether it was written."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.write_whole(str(path), data)
        os.chmod(path, 0o600)
        os.utime(path, (used, used))
    except OSError as error:
        log.warning("an image cannot be stored", reason=f"{path.parent}: {error.strerror}")
        return False
    return True


def _read(path: Path, digest: bytes, used: float) -> bytes | None:
    """Read a file, and mark it as used; None if it is gone or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    with suppress(OSError):  # the disk may be read-only by now
        os.utime(path, (used, used))
    return data if digest_of(data) == digest else None
