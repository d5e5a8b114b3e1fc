"""Contrast-weighted error, and images reduced to few colours."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import screen

from cotam.codec.colours import has_more_colours
from cotam.codec.contrast import COARSE_WORTH, OPPONENT, balanced_error, contrast_error, contrast_weights
from cotam.codec.palette import MAX_COLOURS, TRIALS, Colours, can_reduce, reduce_colours
from cotam.codec.standard import encode_lossless


def smoothed_screen(height: int, width: int) -> np.ndarray:
    """Marks with soft edges: hundreds of colours."""
    wide = screen(height, width).astype(np.float32)
    soft = (wide + np.roll(wide, 1, axis=1) + np.roll(wide, 1, axis=0)) / 3
    tilt = np.linspace(0, 20, width)[None, :, None]
    return np.clip(soft - tilt, 0, 255).astype(np.uint8)


def plain_contrast_error(pixels: np.ndarray, decoded: np.ndarray) -> float:
    """The definition, pixel by pixel."""
    error = total = 0.0
    for top in range(0, pixels.shape[0], 16):
        for left in range(0, pixels.shape[1], 16):
            block = np.s_[top : top + 16, left : left + 16]
            padded = np.pad(pixels[block] @ OPPONENT[0], ((0, 0), (0, -pixels[block].shape[1] % 16)), "edge")
            weight = padded.std() + 4
            away = np.square((pixels[block].astype(float) - decoded[block]) @ OPPONENT.T).sum(axis=2)
            error += weight * away.sum()
            total += weight * away.size
    return error / total


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (50, 37), (33, 16)])
def test_contrast_error_is_what_it_says(height: int, width: int) -> None:
    pixels = smoothed_screen(height, width)
    decoded = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    assert contrast_error(pixels, decoded) == pytest.approx(plain_contrast_error(pixels, decoded), rel=1e-4)
    assert contrast_error(pixels, pixels) == 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (50, 37), (9, 24)])
def test_balanced_error_adds_that_of_means(height: int, width: int) -> None:
    pixels = smoothed_screen(height, width)
    decoded = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    coarse = 0.0
    for top in range(0, height, 8):
        for left in range(0, width, 8):
            block = np.s_[top : top + 8, left : left + 8]
            away = (pixels[block].astype(float) - decoded[block]) @ OPPONENT.T
            coarse += np.square(away.mean(axis=(0, 1))).sum() * away.shape[0] * away.shape[1]
    expected = plain_contrast_error(pixels, decoded) + COARSE_WORTH * coarse / (height * width)
    assert balanced_error(pixels, decoded) == pytest.approx(expected, rel=1e-4)
    assert balanced_error(pixels, pixels) == 0


def test_shifted_ground_counts_more_than_noise() -> None:
    """A vision encoder sees a large image reduced: noise is gone there, another colour is not."""
    pixels = np.full((64, 64, 3), 200, np.uint8)
    noisy = pixels.copy()
    noisy[::2] += 6
    noisy[1::2] -= 6
    assert balanced_error(pixels, pixels + np.uint8(6)) > 8 * balanced_error(pixels, noisy)


def test_errors_where_contrast_is_count_more() -> None:
    pixels = np.full((64, 64, 3), 200, np.uint8)
    pixels[:16, ::2] = 0
    at_edges, on_ground = pixels.copy(), pixels.copy()
    at_edges[:16] += 10
    on_ground[48:] += 10
    assert contrast_error(pixels, at_edges) > 10 * contrast_error(pixels, on_ground)
    assert contrast_weights(pixels).shape == (4, 4)


@pytest.mark.parametrize("max_error", [6.0, 20.0, 80.0])
def test_reduced_images_keep_the_error(max_error: float) -> None:
    pixels = smoothed_screen(120, 203)
    found = list(reduce_colours(Colours.of(pixels), max_error))
    assert found
    for reduced in found:
        assert reduced.error <= max_error
        assert balanced_error(pixels, reduced.pixels) < 2 * reduced.error + 1e-3
        assert len(np.unique(reduced.pixels.reshape(-1, 3), axis=0)) <= 64
    assert min(len(encode_lossless(reduced.pixels)) for reduced in found) < len(encode_lossless(pixels))


def test_more_error_takes_fewer_bytes() -> None:
    colours = Colours.of(smoothed_screen(240, 403))
    sizes = [
        min(len(encode_lossless(reduced.pixels)) for reduced in reduce_colours(colours, error))
        for error in (6.0, 20.0, 80.0)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.1 * sizes[2]


def test_images_of_few_colours_stay_as_they_are() -> None:
    pixels = screen(40, 60)
    (reduced,) = reduce_colours(Colours.of(pixels), 0.0)
    assert reduced.error == 0
    assert np.array_equal(reduced.pixels, pixels)


def test_photographs_do_not_fit_into_a_palette() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (80, 90, 3), np.uint8)
    colours = Colours.of(noise)
    assert colours.exact > MAX_COLOURS >= len(colours.counts)
    assert list(reduce_colours(colours, 10.0)) == []
    assert not can_reduce(colours, 10.0)


@pytest.mark.parametrize("max_error", [6.0, 80.0])
def test_trials_do_not_depend_on_each_other(max_error: float) -> None:
    """Palettes are shared by trials, and equal ones are given once."""
    colours = Colours.of(smoothed_screen(120, 203))
    alone = [one for trial in TRIALS for one in reduce_colours(colours, max_error, [trial])]
    together = [one.pixels.tobytes() for one in reduce_colours(colours, max_error)]
    assert together == list(dict.fromkeys(one.pixels.tobytes() for one in alone))
    assert can_reduce(colours, max_error)


def test_colours_are_counted_in_all_rows() -> None:
    pixels = np.zeros((40, 30, 3), np.uint8)
    pixels[:, :, 1] = np.arange(30)
    assert has_more_colours(pixels, 29)
    assert not has_more_colours(pixels, 30)
    pixels[17, 4] = 99
    assert has_more_colours(pixels, 30)
    assert not has_more_colours(pixels, 31)


def test_merged_colours_have_their_error_counted() -> None:
    noise = np.random.default_rng(1).integers(100, 140, (200, 300, 3), np.uint8)
    colours = Colours.of(noise)
    away = np.square((noise - colours.values[colours.index]) @ OPPONENT.T).sum(axis=2)
    assert colours.merged_error == pytest.approx(float(np.mean(colours.pixel_weights * away)), rel=1e-3)
