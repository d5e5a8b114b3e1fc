"""Flat graphics: which payload is taken, and that quality means one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from synthetic import page, picture, screen

from cotam.codec.contrast import balanced_error
from cotam.codec.flat import Coded, FlatCoder, av1_quality_for, better, error_at
from cotam.codec.standard import decode_av1, decode_lossless
from cotam.errors import MissingCodecError, TargetSizeError
from cotam.format.header import File, Header, Kind, read_file
from cotam.guide.content import flatness

av1 = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
SOFT = np.asarray(Image.fromarray(page(400, 640)).resize((480, 300)))


def coded(size: int, error: float) -> Coded:
    return Coded(File(Header(8, 8, 50, Kind.LOSSLESS), bytes(size)), lambda: error)


def test_scale_falls_and_reaches_all_of_avif() -> None:
    errors = [error_at(quality) for quality in range(101)]
    assert errors == sorted(errors, reverse=True)
    qualities = [av1_quality_for(error) for error in errors]
    assert qualities == sorted(qualities)
    assert 0 <= qualities[0] < 10
    assert 50 < qualities[-1] <= 100
    assert (av1_quality_for(1e9), av1_quality_for(1e-9)) == (0, 100)


def test_the_better_one_has_fewer_bytes_at_equal_error() -> None:
    target = error_at(50)
    small, large = coded(100, target), coded(150, target)
    assert better(small, large, 50) is better(large, small, 50) is small
    exact = coded(130, target / 4)
    assert better(small, exact, 50) is exact
    assert better(coded(100, 9.0), coded(10, 9.1), None).error == 9.0


def test_payloads_keep_the_error_of_their_quality() -> None:
    sizes = []
    for quality in (5, 50, 95):
        found = FlatCoder(SOFT).encode(quality)
        file = read_file(found.file.data)
        decode = decode_lossless if file.kind is Kind.LOSSLESS else decode_av1
        error = balanced_error(SOFT, decode(file.payload, file.width, file.height))
        assert error == pytest.approx(found.error, rel=1e-6)
        assert error < 2 * error_at(quality)
        sizes.append(len(file.data))
    assert sizes[0] < sizes[-1]


@av1
def test_large_images_are_judged_by_a_sample() -> None:
    """Both payloads of the whole image take three times as long."""
    drawing = np.asarray(Image.fromarray(page(400, 640)).resize((960, 600)))
    photo = np.tile(picture(200, 320), (3, 3, 1))
    for pixels, kind in ((drawing, Kind.LOSSLESS), (photo, Kind.AV1)):
        for effort in ("fast", "default"):
            assert FlatCoder(pixels, effort=effort).encode(70).file.kind is kind


@av1
def test_photographs_become_av1() -> None:
    pixels = picture(80, 120)
    assert FlatCoder(pixels).encode(50).file.kind is Kind.AV1
    assert FlatCoder(pixels, palette=False).encode(90).file.kind is Kind.AV1


@av1
def test_photographs_of_few_colours_become_av1() -> None:
    """In 16 greys, as on electronic paper, where a palette took four times the bytes."""
    grey = Image.fromarray(picture(240, 320)).convert("L").point(lambda value: round(value / 17) * 17)
    for effort in ("fast", "default"):
        coder = FlatCoder(np.asarray(grey.convert("RGB")), effort=effort)
        assert coder.encode(20).file.kind is Kind.AV1


@av1
def test_grey_scans_on_white_paper_become_av1() -> None:
    """Flat by their white, and of 256 colours at most: a palette took twice the bytes at a low quality."""
    noise = np.random.default_rng(0).normal(0, 25, (240, 320))
    grey = np.clip(page(240, 320)[..., 0] * 0.8 + 85 + noise, 0, 255).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=2)
    assert flatness(pixels) > 0.5
    assert FlatCoder(pixels).encode(2).file.kind is Kind.AV1


def test_metadata_are_kept() -> None:
    file = FlatCoder(screen(30, 40), {"xmp": b"<x/>"}).encode(50).file
    assert read_file(file.data).metadata["xmp"] == b"<x/>"


@av1
def test_more_colours_between_the_bands_of_the_sample() -> None:
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 250, (40, 3)).astype(np.uint8)
    index = rng.integers(0, 2, (1024, 1024))
    between = np.arange(1024) // 64 % 4 > 0
    index[between] += 2 * (np.arange(1024)[between] // 16 % 19)[:, None]
    found = FlatCoder(palette[index] + rng.integers(0, 3, (1024, 1024, 3), np.uint8)).encode(80)
    assert found.file.kind is Kind.LOSSLESS
    assert found.error <= error_at(80)


def test_encoders_in_threads_give_one_file() -> None:
    for effort in ("fast", "default"):
        first, second = (FlatCoder(SOFT, effort=effort).encode(60) for _ in range(2))
        assert first.file.data == second.file.data


@av1
def test_budgets_are_kept_and_used() -> None:
    coder = FlatCoder(SOFT)
    smallest = len(coder.encode(0).file.data)
    for size in (round(1.1 * smallest), round(1.5 * smallest)):
        assert size / 2 < len(coder.encode_within(size).file.data) <= size


@av1
def test_a_file_that_fits_is_not_enough_if_a_larger_one_would() -> None:
    """The second try is at far too low a quality: the rates of small pages rise steeply."""
    with Image.open(Path(__file__).parents[2] / "samples/page.webp") as image:
        pixels = np.asarray(image.convert("RGB").resize((255, 340), Image.Resampling.LANCZOS))
    assert 2000 <= len(FlatCoder(pixels).encode_within(2500).file.data) <= 2500


@av1
def test_a_budget_gives_no_more_error_than_a_palette_that_fits() -> None:
    noise = np.random.default_rng(0).normal(8, 3, (300, 400, 1))
    coder = FlatCoder(np.clip(page(300, 400) + noise, 0, 255).astype(np.uint8))
    palette = coder.encode(50)
    assert palette.file.kind is Kind.LOSSLESS
    size = round(1.1 * len(palette.file.data))
    found = coder.encode_within(size)
    assert len(found.file.data) <= size
    assert found.error <= palette.error


def test_budgets_below_the_smallest_file() -> None:
    with pytest.raises(TargetSizeError, match="more than 60"):
        FlatCoder(SOFT, effort="fast").encode_within(60)


def test_nothing_to_code_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(MissingCodecError):
        FlatCoder(SOFT).encode(50)


def test_a_tiny_drawing_keeps_its_colours() -> None:
    """A purple and a grey of equal luma, which a palette would merge to save 18 bytes of 123; 41 colours."""
    few = np.full((300, 400, 3), 255, np.uint8)
    few[20:120, 20:120] = 187, 185, 188
    few[100:112, 200:212] = 208, 166, 233
    many = np.full((300, 400, 3), 255, np.uint8)
    rng = np.random.default_rng(0)
    many[rng.integers(0, 300, 40), rng.integers(0, 400, 40)] = rng.integers(0, 256, (40, 3))
    for pixels in (few, many):
        for quality in (0, 50, 90):
            payload = FlatCoder(pixels).encode(quality).file.payload
            assert np.array_equal(decode_lossless(payload, 400, 300), pixels)
