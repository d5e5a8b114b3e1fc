"""`cotam.gateway.store`: what is kept, for whom and how long."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cotam.errors import InputError
from cotam.gateway.store import Store, digest_of

Make = Callable[..., Store]


class Clock:
    """Seconds that a test moves."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes stores of each kind; those on disk in the same folder."""
    folder = tmp_path / "store" if request.param == "disk" else None
    return lambda limit=100_000, **options: Store(limit, folder=folder, **options)


def test_a_file_is_found_by_its_sha256(make: Make) -> None:
    store = make()
    assert store.put("one", b"image") == digest_of(b"image")
    assert store.get("one", digest_of(b"image")) == b"image"
    assert store.holds("one", digest_of(b"image"))
    assert not store.holds("two", digest_of(b"image"))
    assert store.get("one", digest_of(b"other")) is None


def test_owners_do_not_find_each_others_files(make: Make) -> None:
    store = make()
    digest = store.put("one", b"image")
    assert store.get("two", digest) is None
    store.put("two", b"image")
    assert len(store) == 2


def test_what_was_used_longest_ago_makes_room(make: Make) -> None:
    store = make(limit=3 * 2000)
    digests = [store.put("one", bytes([number]) * 1000) for number in range(3)]
    assert store.get("one", digests[0])
    digests.append(store.put("one", b"new" * 300))
    assert [store.get("one", digest) is not None for digest in digests] == [True, False, True, True]
    assert store.held <= 6000


def test_many_small_files_do_not_fill_the_memory(make: Make) -> None:
    store = make(limit=10_000)
    for number in range(100):
        store.put("one", b"%d" % number)
    assert len(store) < 10


def test_a_file_larger_than_the_store_is_not_kept(make: Make) -> None:
    store = make(limit=5000)
    small = store.put("one", b"small")
    large = store.put("one", b"large" * 1000)
    assert store.get("one", large) is None
    assert store.get("one", small) == b"small"
    assert make(limit=0).put("one", b"") == digest_of(b"")


def test_what_was_not_used_for_long_is_forgotten(make: Make) -> None:
    clock = Clock()
    store = make(age=60, clock=clock)
    digests = [store.put("one", b"a"), store.put("one", b"b")]
    clock.now += 50
    assert store.get("one", digests[0])
    clock.now += 50
    assert [store.get("one", digest) is not None for digest in digests] == [True, False]
    clock.now += 61
    assert store.get("one", digests[0]) is None
    assert store.held == 0


def test_threads_share_a_store(make: Make) -> None:
    store = make(limit=20_000)

    def use(number: int) -> bool:
        data = b"%d" % (number % 30)
        found = store.get("one", store.put("one", data))
        return found in (data, None)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(2000)))
    assert store.held <= 20_000


def test_files_on_disk_outlive_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    store = Store(100_000, age=60, folder=tmp_path, clock=clock)
    old, new = store.put("one", b"old"), store.put("two", b"new")
    clock.now += 50
    store.get("two", new)
    (tmp_path / "one" / ".cotam-left.tmp").write_bytes(b"half")
    clock.now += 20
    again = Store(100_000, age=60, folder=tmp_path, clock=clock)
    assert again.get("two", new) == b"new"
    assert again.get("one", old) is None
    assert sorted(path.name for path in tmp_path.glob("*/*")) == [new.hex()]
    assert len(Store(10, folder=tmp_path, clock=clock)) == 0


def test_damaged_files_on_disk_are_absent(tmp_path: Path) -> None:
    store = Store(100_000, folder=tmp_path)
    digest = store.put("one", b"image")
    path = tmp_path / "one" / digest.hex()
    path.write_bytes(b"imagf")
    assert store.get("one", digest) is None
    assert store.put("one", b"image") == digest
    assert store.get("one", digest) == b"image"
    path.unlink()
    assert store.get("one", digest) is None
    assert store.held == 0


@pytest.mark.skipif(os.name != "posix", reason="access rights of POSIX")
def test_others_cannot_read_files_on_disk(tmp_path: Path) -> None:
    store = Store(100_000, folder=tmp_path / "store")
    digest = store.put("one", b"image")
    path = tmp_path / "store" / "one" / digest.hex()
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


@pytest.mark.skipif(not Path("/sys/class").is_dir(), reason="where nobody may write, not even root")
def test_a_folder_that_cannot_be_written_to_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="/sys/class: cannot be used as a store"):
        Store(100_000, folder=Path("/sys/class"))


def test_a_disk_that_cannot_be_written_to_keeps_nothing(tmp_path: Path) -> None:
    store = Store(100_000, folder=tmp_path)
    (tmp_path / "one").write_text("in the way")
    digest = store.put("one", b"image")
    assert store.get("one", digest) is None
    with pytest.raises(InputError, match="cannot be used as a store"):
        Store(100_000, folder=tmp_path / "one")


def test_a_disk_that_turns_read_only_still_serves_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(100_000, folder=tmp_path)
    digest = store.put("one", b"image")

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", read_only)  # even root cannot make a mount of a test read-only
    assert store.get("one", digest) == b"image"
