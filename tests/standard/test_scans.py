"""Progressive JPEG files: what libjpeg reads from them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cotam.standard import scans
from cotam.standard.jpeg import _DCT
from cotam.standard.scans import ZIGZAG, Component, write


def grey(levels: np.ndarray, step: int = 16) -> Component:
    return Component(levels.astype(np.int16), np.full(64, step))


def planes_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.draft("YCbCr", image.size)  # as they are in the file
        return np.asarray(image)


def expected(levels: np.ndarray, step: int = 16) -> np.ndarray:
    """Return the plane, uint8, of levels (rows, columns, 64)."""
    rows, columns = levels.shape[:2]
    spectrum = np.zeros(levels.shape, np.float32)
    spectrum[..., ZIGZAG] = levels * step
    blocks = _DCT.T @ spectrum.reshape(rows, columns, 8, 8) @ _DCT + 128
    return np.rint(blocks.transpose(0, 2, 1, 3).reshape(8 * rows, 8 * columns)).clip(0, 255).astype(np.uint8)


def sparse(rows: int, columns: int, share: float, seed: int = 0) -> np.ndarray:
    """Return levels that are zero but for a share of them."""
    random = np.random.default_rng(seed)
    levels = random.integers(-4, 5, (rows, columns, 64)) * (random.random((rows, columns, 64)) < share)
    levels[..., 0] = random.integers(-9, 10, (rows, columns))
    return levels


@pytest.mark.parametrize("share", [0, 0.002, 0.03, 0.5, 1])
def test_libjpeg_reads_the_coefficients(share: float) -> None:
    levels = sparse(9, 11, share)
    read = planes_of(write([grey(levels)], 88, 72)).astype(int)
    assert np.abs(read - expected(levels)).max() <= 1


def test_coefficients_may_be_divided_into_scans() -> None:
    levels = sparse(40, 40, 0.5)
    levels[..., 21:] *= np.random.default_rng(1).random((40, 40, 43)) < 0.1
    data = write([grey(levels)], 320, 320)
    assert data.count(b"\xff\xda") > 2
    assert np.abs(planes_of(data).astype(int) - expected(levels)).max() <= 1


def test_the_longest_runs() -> None:
    levels = np.zeros((130, 513, 64), int)  # more than 2 · 32767 blocks
    for at in ((0, 0), (64, 7), (129, 512)):
        levels[at][63] = 5
    levels[64, 300, 40] = -3
    assert np.abs(planes_of(write([grey(levels)], 4104, 1040)).astype(int) - expected(levels)).max() <= 1


def test_colour_has_half_the_size() -> None:
    luma, *chroma = sparse(5, 7, 0.1), sparse(3, 4, 0.1, seed=1), sparse(3, 4, 0.1, seed=2)
    components = [grey(luma), *map(grey, chroma)]
    components[0] = Component(components[0].levels, components[0].table, 2)
    read = planes_of(write(components, 56, 40)).astype(int)
    assert read.shape == (40, 56, 3)
    assert np.abs(read[..., 0] - expected(luma)).max() <= 1
    for index, levels in enumerate(chroma, start=1):
        wanted = expected(levels).repeat(2, 0).repeat(2, 1)[:40, :56].astype(int)
        assert np.abs(read[..., index] - wanted).mean() < np.abs(wanted - 128).mean() / 2


def test_codes_have_at_most_sixteen_bits() -> None:
    frequencies = np.zeros(256, int)
    frequencies[:40] = 2 ** np.arange(40)
    lengths = scans._code_lengths(frequencies)
    assert lengths[:40].max() == 16
    assert (0.5 ** lengths[:40]).sum() < 1  # the code of ones is free
    assert (np.diff(lengths[:40]) <= 0).all()
    assert not lengths[40:].any()
