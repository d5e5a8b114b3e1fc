"""`cotam.codec.contrast`: errors of blocks."""

from __future__ import annotations

import numpy as np
from synthetic import picture

from cotam.codec.contrast import BLOCK, balanced_error, block_errors


def test_the_error_of_a_block_is_that_of_the_block_as_an_image() -> None:
    pixels = picture(40, 56)
    other = np.clip(pixels.astype(int) + np.random.default_rng(2).integers(-9, 10, pixels.shape), 0, 255)
    other = other.astype(np.uint8)
    found = block_errors(pixels, other, np.ones((3, 4), bool))
    for row, column in np.ndindex(2, 3):
        area = slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK)
        np.testing.assert_allclose(found[row, column], balanced_error(pixels[area], other[area]), rtol=1e-4)
    half = (
        balanced_error(pixels[:BLOCK, 48:], other[:BLOCK, 48:]) / 2
    )  # half of the last block is beyond the edge
    np.testing.assert_allclose(found[0, 3], half, rtol=1e-4)


def test_rows_without_blocks_of_interest_are_zero() -> None:
    pixels = picture(48, 48)
    blocks = np.zeros((3, 3), bool)
    blocks[1, 2] = True
    found = block_errors(pixels, 255 - pixels, blocks)
    assert (found[1] > 0).all()
    assert not found[[0, 2]].any()
