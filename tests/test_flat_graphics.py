"""How `cotam.encode` codes flat graphics, scans and pages."""

from __future__ import annotations

import numpy as np
import pytest
from guides import Left
from PIL import Image, ImageFilter, features
from synthetic import page, picture, screen

import cotam
from cotam.codec.contrast import balanced_error
from cotam.codec.flat import error_at
from cotam.errors import (
    DamagedError,
    LimitError,
    MissingCodecError,
)
from cotam.options import Options


def scan(height: int, width: int) -> np.ndarray:
    """A page of text with the noise of paper."""
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return np.clip(page(height, width) * 0.85 + 16 + noise, 0, 255).astype(np.uint8)


def test_a_page_gets_its_own_weights_and_no_guide() -> None:
    pixels = scan(200, 300)
    data = cotam.encode(pixels, quality=5)
    of_page = cotam.encode(pixels, quality=5, profile="page")
    assert data == of_page == cotam.encode(pixels, quality=5, profile="page", guide="none")
    assert cotam.info(data).weights == "page"
    assert cotam.info(cotam.encode(pixels, profile="mllm")).weights == "mllm"
    assert cotam.level_map(cotam.encode(pixels, guide=Left())).any()  # a guide that was asked for
    levels = np.ones((7, 10), np.int8)
    own = cotam.encode(pixels, levels=levels)
    assert cotam.info(own).weights == "page"
    assert (cotam.level_map(own) == 1).all()


def test_flat_graphics_have_payloads_of_their_own() -> None:
    drawing, soft = screen(200, 300), page(200, 300)
    for pixels in (drawing, soft):
        data = cotam.encode(pixels, metadata=())
        found = cotam.info(data)
        assert found.kind in ("av1", "lossless")
        assert (found.width, found.height, found.quality, found.weights) == (300, 200, 50, "")
        assert len(data) < len(cotam.encode(pixels, profile="page"))
        assert not cotam.level_map(data).any()
        for view in ("mllm", "human"):
            decoded = np.asarray(cotam.decode(data, view=view))
            assert np.abs(decoded - pixels.astype(int)).mean() < 6
    assert np.array_equal(np.asarray(cotam.decode(cotam.encode(drawing))), drawing)


def test_photographs_with_flat_areas_get_the_better_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((400, 320, 3), 255, np.uint8)
    pixels[140:] = picture(260, 320)
    assert cotam.info(cotam.encode(pixels, quality=20)).kind == "av1"
    assert cotam.info(cotam.encode(pixels, quality=50)).weights == "mllm"
    assert cotam.info(cotam.encode(pixels, quality=20, effort="fast")).weights == "mllm"
    monkeypatch.setattr("cotam.guide.content.MIXED_PIXELS", 127_999)
    assert cotam.info(cotam.encode(pixels, quality=20)).weights == "mllm"


def test_flat_graphics_with_levels_or_a_guide_are_coded_by_the_learned_codec() -> None:
    pixels = screen(200, 300)
    assert cotam.info(cotam.encode(pixels, guide="none")).kind == "lossless"
    assert cotam.info(cotam.encode(pixels, levels=np.ones((7, 10), np.int8))).kind == "learned"
    assert cotam.info(cotam.encode(pixels, guide="lite")).kind == "learned"
    assert cotam.info(cotam.encode(pixels, profile="page")).kind == "learned"


def test_dithers_keep_every_pixel() -> None:
    dithered = np.asarray(Image.fromarray(picture(96, 128)).convert("1").convert("RGB"))
    for quality in (0, 100):
        data = cotam.encode(dithered, quality=quality)
        assert cotam.info(data).kind == "lossless"
        assert np.array_equal(np.asarray(cotam.decode(data)), dithered)
        assert len(data) < 96 * 128 / 8


def test_without_codecs_of_pillow_flat_graphics_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    data = cotam.encode(screen(64, 64))
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert cotam.info(cotam.encode(screen(64, 64))).kind == "learned"
    with pytest.raises(MissingCodecError, match="pip install"):
        cotam.decode(data)


@pytest.mark.parametrize("target_size", [None, 3000])
def test_without_avif_flat_graphics_of_many_colours_are_learned(
    monkeypatch: pytest.MonkeyPatch, target_size: int | None
) -> None:
    blocks = np.random.default_rng(0).integers(0, 256, (16, 512, 3), np.uint8).repeat(8, axis=1)
    monkeypatch.setattr(features, "check", lambda feature: feature == "webp")
    assert cotam.info(cotam.encode(blocks, quality=90, target_size=target_size)).kind == "learned"


def test_without_avif_flat_graphics_that_miss_a_budget_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(Image.fromarray(page(300, 400, 32)).resize((300, 220)))
    monkeypatch.setattr(features, "check", lambda feature: feature == "webp")
    found = cotam.info(cotam.encode(pixels, target_size=len(cotam.encode(pixels, quality=0)) - 200))
    assert (found.kind, found.width) == ("learned", 300)


def test_without_avif_scans_are_still_coded_in_few_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(15, 3, (300, 400, 1))
    scan = np.clip(page(300, 400) + noise, 0, 255).astype(np.uint8)
    assert Options().resolve(scan).payload == "learned or flat"
    monkeypatch.setattr(features, "check", lambda feature: feature == "webp")
    assert cotam.info(cotam.encode(scan)).kind == "lossless"
    assert cotam.info(cotam.encode(scan, target_size=2000)).kind == "learned"


def test_size_of_flat_graphics() -> None:
    pixels = np.asarray(Image.fromarray(page(300, 400)).resize((300, 220)))
    for size in (4000, 9000):
        data = cotam.encode(pixels, target_size=size)
        assert size / 2 < len(data) <= size
    tiny = cotam.encode(pixels, target_size=100)  # too few for all pixels
    assert len(tiny) <= 100
    assert cotam.info(tiny).width < 300


def test_limits_of_flat_graphics() -> None:
    data = cotam.encode(screen(64, 100))
    with pytest.raises(LimitError, match="100×64"):
        cotam.decode(data, size_limit=6399)
    changed = bytearray(data)
    changed[-1] ^= 1
    with pytest.raises(DamagedError, match="checksum"):
        cotam.decode(bytes(changed))


def test_a_scan_on_burnt_out_paper_is_not_taken_for_flat_graphics() -> None:
    soft = np.asarray(Image.fromarray(page(300, 400)).filter(ImageFilter.GaussianBlur(1.2)), float)
    noise = np.random.default_rng(0).normal(0, 6, soft.shape)
    for above_white, payload in ((15, "learned or av1"), (30, "learned or flat")):
        pixels = np.clip(soft + above_white + noise, 0, 255).astype(np.uint8)
        assert Options().resolve(pixels).payload == payload
        assert cotam.encode(pixels, quality=30) == cotam.encode(pixels, quality=30, profile="page")


def test_small_areas_of_many_colours_keep_them() -> None:
    """AV1 halves the resolution of chroma, and the estimated error of palettes is too high."""
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (30, 30, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    shades = np.linspace(0, 1, 900)
    ramp = 255 * np.stack([shades, np.abs(1 - 2 * shades), 1 - shades], axis=1)
    heat_map = rng.permutation(ramp.astype(np.uint8)).reshape(30, 30, 3).repeat(8, 0).repeat(8, 1)
    heat_map[::12] = 0
    for pixels, most in ((many, 0.0), (heat_map, 4.0)):
        for quality in (50, 80):
            data = cotam.encode(pixels, quality=quality)
            assert cotam.info(data).kind == "lossless"
            assert balanced_error(pixels, np.asarray(cotam.decode(data))) <= most * error_at(quality)
