"""Weight sets are what their manifest says, and what the codec relies on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cotam.codec import weights
from cotam.codec.weights import by_hash, digest_of, load, names
from cotam.errors import UnknownWeightsError
from cotam.runtime import GRAPHS


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the default weight set that may be changed."""
    return Path(shutil.copytree(load().folder, tmp_path / "copied"))


def rewrite(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change the arrays of a set and make its manifest agree."""
    with np.load(folder / "tables.npz") as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(folder / "tables.npz", **arrays)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables.npz"] = hashlib.sha256((folder / "tables.npz").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", names())
def test_installed_sets_are_whole(name: str) -> None:
    found = load(name)
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert manifest.keys() == {*(f"{graph}.onnx" for graph in GRAPHS), "tables.npz"}
    assert by_hash(found.short_hash) is found
    assert found.short_hash == found.digest[:2]
    channels, hyper = found.gains.shape[1], found.z_index.shape[1]
    assert found.gains.shape == (101, channels)
    assert found.gains.dtype == np.float32
    assert (found.gains > 0).all()
    assert found.nominal.shape == (101,)
    assert (np.diff(found.nominal) > 0).all()
    assert found.z_multipliers.shape == found.z_index.shape == (101, hyper)
    assert found.offset.shape == (101, channels)
    assert found.z_index.dtype == np.int8  # below 1 before the context changes it
    assert found.hyper_quality.shape[0] == 101
    assert found.hyper_place.shape == (4, 4, found.hyper_quality.shape[1])


@pytest.mark.parametrize("name", names())
def test_what_must_be_integers_is(name: str) -> None:
    found = load(name)
    exact = found.sums64, found.sums32, found.offset, found.hyper_quality, found.hyper_place
    for array in (found.z_multipliers, *exact):
        assert array.dtype == np.float32
        assert np.array_equal(array, np.rint(array))
    # z is within ±127: symbol · multiplier stays below 2**24, exact in float32, and never divides by 0.
    assert 0 < found.z_multipliers.min() <= found.z_multipliers.max() < 2**24 / 127
    assert found.z_index.max() < len(found.tables.halves)
    assert len(found.tables.halves) == 48


def test_a_bundle_without_the_files_of_the_package_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As PyInstaller makes them, unless it is told to collect data."""
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(weights, "GROUP", "that nobody uses")
    with pytest.raises(UnknownWeightsError, match=r"installed: none, \S+weights is missing"):
        by_hash(b"ab")


def test_hashes_of_installed_sets_differ() -> None:
    assert len({load(name).short_hash for name in names()}) == len(names())


def test_digest_depends_on_every_file_and_name_only() -> None:
    manifest = {"b": "1", "a": "2"}
    assert digest_of(manifest) == hashlib.sha256(b"a 2\nb 1\n").digest()
    assert digest_of(manifest) == digest_of(dict(reversed(manifest.items())))


def test_a_changed_table_is_another_set(copied: Path) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["frequencies"][1] += 2
        arrays["frequencies"][2] -= 1

    rewrite(copied, change)
    found = load("copied", copied)
    assert found.short_hash != load().short_hash
    assert found.tables.halves[1][0] == load().tables.halves[1][0] + 2


@pytest.mark.parametrize("file", ["tables.npz", "scales.onnx"])
def test_a_changed_file_is_refused(copied: Path, file: str) -> None:
    data = bytearray((copied / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    with pytest.raises(UnknownWeightsError, match=rf"{file} does not match its weight set"):
        load("copied", copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "context.onnx").unlink()
    with pytest.raises(UnknownWeightsError, match=r"context.onnx does not match"):
        load("copied", copied)


def test_tables_that_do_not_add_up_are_refused(copied: Path) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["frequencies"][1] += 1

    rewrite(copied, change)
    with pytest.raises(ValueError, match="table 1 does not add up"):
        load("copied", copied)


def test_unknown_names_and_hashes_list_what_is_here() -> None:
    with pytest.raises(
        UnknownWeightsError, match=rf"no weight set 'nothing'; installed: .*{weights.DEFAULT}"
    ):
        load("nothing")
    unused = next(
        bytes([0, i]) for i in range(256) if all(load(n).short_hash != bytes([0, i]) for n in names())
    )
    with pytest.raises(UnknownWeightsError, match=rf"weight set {unused.hex()}, .*{weights.DEFAULT}"):
        by_hash(unused)


def test_the_locale_does_not_matter() -> None:
    strict = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    code = "from cotam.codec.weights import load, names; print(*map(load, names()))"
    subprocess.run([sys.executable, *strict, "-c", code], check=True, stdout=subprocess.DEVNULL)
