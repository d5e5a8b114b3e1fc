"""Large pictures: a global map and local ones become one, without seams, in bounded work."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import picture

from cotam.codec.shared import codec
from cotam.errors import InputError
from cotam.guide import multiscale
from cotam.guide.guidance import Guidance


class Energy:
    """Mean brightness of each cell of 8×8 pixels: a local guide without a network."""

    def __init__(self, side: int = 64) -> None:
        self.side = side
        self.seen: list[tuple[int, int]] = []

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        self.seen.append(pixels.shape[:2])
        rows, columns = (max(1, round(n / 8)) for n in pixels.shape[:2])
        image = Image.fromarray(pixels).convert("L").convert("F")
        small = np.asarray(image.resize((columns, rows), Image.Resampling.BOX)) + 1.0
        return (small / small.mean()).astype(np.float32)


class Constant(Energy):
    """The same everywhere, whatever it is shown."""

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        self.seen.append(pixels.shape[:2])
        return np.ones((5, 7), np.float32)


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([16, 64, 100]), st.floats(0, 1))
def test_a_constant_guide_gives_a_constant_map(height: int, width: int, side: int, fusion: float) -> None:
    found = multiscale.importance(Constant(side), np.zeros((height, width, 3), np.uint8), fusion=fusion)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.ones(found.shape), abs=1e-5)


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
def test_any_picture_gives_positive_numbers_of_mean_one(height: int, width: int, seed: int) -> None:
    found = multiscale.importance(Energy(48), picture(height, width, seed))
    assert found.min() > 0
    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(1, abs=1e-4)


def test_a_picture_that_the_guide_sees_whole_gets_its_own_map() -> None:
    guide, pixels = Energy(), picture(60, 64)
    assert np.array_equal(multiscale.importance(guide, pixels), Energy().importance(pixels))
    assert guide.seen == [(60, 64)]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 2)),
        np.full((2, 2), np.nan),
        np.full((2, 2), 1e300),
        np.ones(4),
        np.ones((0, 3)),
        [[1.0, 2.0], [3.0]],
        [["high", "low"]],
        [[None]],
    ],
)
def test_what_is_no_importance_is_refused(wrong: Any) -> None:
    class Wrong(Energy):
        def importance(self, pixels: np.ndarray) -> np.ndarray:
            return wrong

    for side in (16, 400):
        with pytest.raises(InputError, match="guide Wrong must return positive numbers"):
            multiscale.importance(Wrong(side), picture(100, 90))


def test_maps_of_tiles_have_one_shape() -> None:
    class Growing(Energy):
        def importance(self, pixels: np.ndarray) -> np.ndarray:
            self.seen.append(pixels.shape[:2])
            return np.ones((len(self.seen), 3))

    with pytest.raises(InputError, match="guide Growing must return maps of one shape"):
        multiscale.importance(Growing(), picture(100, 90))


@pytest.mark.parametrize("least", [1e-44, 2e-30])
def test_importance_stays_positive(least: float) -> None:
    class Steep(Energy):
        def importance(self, pixels: np.ndarray) -> np.ndarray:
            return np.array([[least, 1]], np.float32)

    found = multiscale.importance(Steep(), picture(100, 90))
    assert np.isfinite(np.log2(found)).all()


def test_a_guide_without_a_side_sees_everything_at_once() -> None:
    guide = Energy()
    guide.side = None  # type: ignore[assignment]
    multiscale.importance(guide, picture(300, 200))
    assert guide.seen == [(300, 200)]


def test_no_seams() -> None:
    """Of a smooth picture each map is smooth, also where tiles begin and end, however much they differ."""

    class Moody(Energy):
        """Exaggerates what it sees by another power in each tile."""

        def importance(self, pixels: np.ndarray) -> np.ndarray:
            found = super().importance(pixels) ** (0.5 + len(self.seen) % 3)
            return found / found.mean()

    column = np.linspace(40, 200, 960)
    pixels = np.repeat(np.broadcast_to(column, (768, 960))[:, :, None], 3, axis=2).astype(np.uint8)
    for guide, steepest in ((Energy(256), 0.05), (Moody(256), 0.15)):
        found = np.log(multiscale.importance(guide, pixels, fusion=1.0))
        assert len(guide.seen) > 12
        assert np.ptp(found) > 1
        assert np.abs(np.diff(found, axis=0)).max() < steepest
        assert np.abs(np.diff(found, axis=1)).max() < steepest


def test_a_local_guide_gives_the_map_of_the_whole() -> None:
    """Where each place's importance depends on that place alone, tiles change nothing but its scale."""
    pixels = picture(256, 320, seed=4)
    found = multiscale.importance(Energy(), pixels, fusion=1.0)
    whole = Energy(1000).importance(pixels)
    assert found.shape == whole.shape
    assert np.corrcoef(np.log(found).ravel(), np.log(whole).ravel())[0, 1] > 0.98
    assert np.quantile(np.abs(np.log(found / whole)), 0.95) < 0.2  # at edges, tiles' cells lie otherwise


def test_a_shifted_picture_has_a_shifted_map() -> None:
    wide = picture(192, 416, seed=7)
    left, right = (
        np.log(multiscale.importance(Energy(), wide[:, start : start + 320], fusion=1.0)) for start in (0, 96)
    )
    left, right = left[:, 12:], right[:, :-12]  # what both show
    away = np.abs((left - left.mean()) - (right - right.mean()))
    assert np.quantile(away, 0.95) < 0.15
    assert away.mean() < 0.1 * left.std()


def test_fusion_goes_from_the_global_to_the_local_map() -> None:
    """A fine pattern that the reduced picture does not show is seen by the local maps alone."""
    pixels = np.full((512, 512, 3), 128, np.uint8)
    pixels[:, ::64] = pixels[::64, :] = 255
    spread = [
        np.log(multiscale.importance(Energy(64), pixels, fusion=fusion)).std()
        for fusion in (0.0, 0.25, 0.5, 1.0)
    ]
    assert spread == sorted(spread)
    assert spread[0] < 0.3 * spread[-1]


def test_the_global_map_says_how_much_a_tile_counts() -> None:
    """Local maps of mean 1 each would lose that one half of the picture is far brighter."""
    pixels = np.full((64, 512, 3), 20, np.uint8)
    pixels[:, 256:] = 200
    found = multiscale.importance(Energy(), pixels, fusion=1.0)
    half = found.shape[1] // 2
    assert found[:, half + 4 :].mean() > 6 * found[:, : half - 4].mean()


@pytest.mark.parametrize("size", [(3000, 4000), (300, 40_000), (1, 50_000)])
def test_work_is_bounded(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiscale, "LOCAL_PIXELS", 500_000)
    monkeypatch.setattr(multiscale, "MAX_TILES", 20)
    guide = Energy(96)
    multiscale.importance(guide, np.zeros((*size, 3), np.uint8))
    assert len(guide.seen) <= 21
    assert max(max(seen) for seen in guide.seen) <= 96


def test_memory_is_bounded() -> None:
    pixels = np.zeros((5000, 6000, 3), np.uint8)  # 90 MB
    tracemalloc.start()
    multiscale.importance(Constant(768), pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


@pytest.mark.parametrize(
    ("size", "target"), [((301, 199), (100, 67)), ((1000, 1500), (50, 70)), ((7, 9), (20, 30))]
)
def test_resized_is_near_to_what_pillow_makes_at_once(size: tuple[int, int], target: tuple[int, int]) -> None:
    pixels = picture(*size)
    expected = Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BILINEAR)
    found = multiscale.resize_bilinear(pixels, target)
    assert found.shape == (*target, 3)
    assert np.abs(found.astype(float) - np.asarray(expected)).mean() < 2.5
    assert multiscale.resize_bilinear(pixels, size) is pixels


def test_local_maps_reach_the_file() -> None:
    pixels = picture(256, 320)
    files = []
    for fusion in (0.0, 0.5, 1.0):
        guidance = Guidance(Energy(96), fusion=fusion)
        allocator = guidance.allocator(guidance.importance(pixels), (256, 320))
        files.append(codec().encode(pixels, 40, levels=allocator))
        assert codec().decode(files[-1]).shape == pixels.shape
    assert len({file.data for file in files}) == 3
