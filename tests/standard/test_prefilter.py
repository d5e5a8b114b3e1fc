"""What the prefilter smooths, and what it leaves."""

from __future__ import annotations

import tracemalloc

import numpy as np
from PIL import Image
from synthetic import page, picture

from cotam.standard.prefilter import TINT, flat_share, smooth, without_tint


def grainy(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 2, (height, width, 1))
    return np.clip(200 + noise, 0, 255).astype(np.uint8).repeat(3, 2)


def split(low: float) -> np.ndarray:
    """Importance: 1 in the left half, ``low`` octaves less in the right half."""
    grid = np.ones((4, 8))
    grid[:, 4:] = 2.0**-low
    return grid


def test_smooths_where_importance_is_low() -> None:
    pixels = grainy(64, 128)
    smoothed = smooth(pixels, split(5))
    assert (smoothed[:, :48] == pixels[:, :48]).all()
    assert smoothed[:, 90:].std() < pixels[:, 90:].std() / 2


def test_takes_little_memory() -> None:
    pixels = grainy(1000, 800)
    tracemalloc.start()
    smooth(pixels, split(5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * pixels.nbytes


def test_leaves_an_image_of_even_importance() -> None:
    pixels = grainy(64, 128)
    assert smooth(pixels, np.ones((2, 4))) is pixels
    assert smooth(pixels, split(1.9)) is pixels


def test_keeps_strokes_where_importance_is_low() -> None:
    pixels = page(64, 128)
    smoothed = smooth(pixels, split(8))
    strokes = pixels[:, 90:, 0] < 60
    assert strokes.any()
    assert (smoothed[:, 90:][strokes] == pixels[:, 90:][strokes]).all()


def test_takes_images_of_a_single_pixel() -> None:
    pixels = np.full((1, 1, 3), 9, np.uint8)
    assert (smooth(pixels, split(8)) == pixels).all()


def test_flat_share_tells_graphics_from_photographs() -> None:
    assert flat_share(page(128, 128)) > 0.5
    assert flat_share(picture(128, 128)) < 0.2
    assert flat_share(np.zeros((1, 1, 3), np.uint8)) == 1.0


def test_flat_share_counts_pixels_equal_in_all_channels() -> None:
    pixels = np.zeros((5, 5, 3), np.uint8)
    for channel in range(3):
        pixels[1 + channel, 2, channel] = 1  # differs, as do the pixels right of it and below
    assert flat_share(pixels) == 9 / 16


def test_a_tint_is_removed_on_both_sides_of_grey() -> None:
    for difference in (-TINT - 1, -TINT, 0, TINT, TINT + 1):
        for channel in (1, 2):
            planes = np.full((8, 8, 3), 128, np.uint8)
            planes[..., channel] += np.uint8(difference % 256)
            pixels = np.asarray(Image.fromarray(planes, "YCbCr").convert("RGB"))
            coded = np.asarray(Image.fromarray(pixels).convert("YCbCr"))[0, 0, channel]
            grey = np.ptp(without_tint(pixels)[0, 0]) == 0
            assert grey == (abs(int(coded) - 128) <= TINT)
