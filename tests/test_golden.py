"""Files that were written once decode to the same symbols and to the same picture, on every machine."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from golden.make import METADATA, checksum, downscaled
from PIL import Image

from cotam.codec.still import Codec
from cotam.codec.weights import load
from cotam.format.header import File, read_file
from cotam.runtime import OnnxRunner

FOLDER = Path(__file__).parent / "golden"
GOLDEN = json.loads((FOLDER / "golden.json").read_text())
NAMES = sorted(GOLDEN["files"])


@cache
def codec_of(name: str) -> Codec:
    """The codec of a golden file."""
    weights = load(GOLDEN["files"][name]["set"])
    if weights.digest.hex() != GOLDEN["weights"][weights.name]:
        pytest.fail(
            f"the weight set {weights.name!r} is not the one that tests/golden was made with: run "
            "lab/recipes/golden.sh (never once the set is released: then a new set needs a new name)",
            pytrace=False,
        )
    return Codec(weights, OnnxRunner(weights.folder))


def golden(name: str) -> File:
    """A golden file, parsed."""
    return read_file((FOLDER / f"{name}.cotam").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_symbols_are_those_of_old(name: str) -> None:
    file = golden(name)
    assert len((FOLDER / f"{name}.cotam").read_bytes()) == GOLDEN["files"][name]["bytes"]
    assert checksum(codec_of(name).decode_symbols(file)) == GOLDEN["files"][name]["symbols"]


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_of_old(name: str) -> None:
    expected = np.asarray(Image.open(FOLDER / f"{name}.expected.png")).astype(int)
    found = downscaled(codec_of(name).decode(golden(name)))
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_same_symbols_are_written_as_the_same_bytes(name: str) -> None:
    """From symbols on there are integers only, so bytes are equal on every machine.

    Metadata are not compared: what zlib writes depends on its version.
    """
    file = golden(name)
    symbols = codec_of(name).decode_symbols(file)
    index = np.empty(symbols.y.shape, np.uint8)
    for band in symbols.grid.bands():
        index[:, *band.core(4)] = codec_of(name).table_index(symbols, band)
    assert codec_of(name).write(symbols, index, file.metadata) == file


@pytest.mark.parametrize("name", NAMES)
def test_the_encoder_chooses_nearly_the_same_symbols(name: str) -> None:
    """Not exactly: latents are floats, and one that lies between two integers may be rounded to either."""
    old = codec_of(name).decode_symbols(golden(name))
    pixels = np.asarray(Image.open(FOLDER / f"{name}.png"))
    found = codec_of(name).quantise(pixels, old.quality, old.levels)[0]
    for new, before in ((found.z, old.z), (found.y, old.y)):
        assert (new != before).mean() < 0.01


def test_metadata_are_those_of_old() -> None:
    assert golden("metadata").metadata == METADATA


def test_the_cases_differ_in_what_they_use() -> None:
    files = {name: codec_of(name).decode_symbols(golden(name)) for name in NAMES}
    assert {name for name, symbols in files.items() if symbols.levels is not None} == {"levels"}
    assert {name for name, symbols in files.items() if len(list(symbols.grid.bands())) > 1} == {"bands"}


def test_the_check_of_another_machine_runs(tmp_path: Path) -> None:
    """`lab/recipes/arm64.sh` runs it under emulation, which takes too long for a test."""
    check = [sys.executable, str(FOLDER / "check.py")]
    subprocess.run([*check, "--write", str(tmp_path / "pixels.npz")], check=True)
    done = subprocess.run([*check, "--compare", str(tmp_path / "pixels.npz")], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count("symbols equal") == len(NAMES)
    assert done.stdout.count("view at most 0 off") == 2 * len(NAMES) - 1  # one view of the file of many bands
