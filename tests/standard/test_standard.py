"""Standard files for models: what Pillow opens, their sizes, tables, exactness and budgets."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synthetic import page, picture

from cotam.codec.contrast import balanced_error
from cotam.errors import InputError, TargetSizeError
from cotam.image.psnr import psnr
from cotam.standard import files as standard
from cotam.standard import jpeg
from cotam.standard.files import FORMATS, Format

LOSSY: tuple[Format, ...] = ("jpeg", "webp", "avif")


def encoded(*arguments: Any, **options: Any) -> bytes:
    return standard.make(*arguments, **options).data


def opened(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(opened(data).convert("RGB"))


def noisy_page(height: int, width: int) -> np.ndarray:
    """Text on grainy paper."""
    noise = np.random.default_rng(1).normal(0, 4, (height, width, 1))
    return np.clip(page(height, width) * 0.9 + 12 + noise, 0, 255).astype(np.uint8)


def even(height: int, width: int) -> np.ndarray:
    """Importance: the same everywhere but in one cell, sixteen octaves below it."""
    grid = np.full((height // 32, width // 32), 2.0**-8)
    grid[0, 0] = 2.0**8
    return grid


@pytest.mark.parametrize("is_page", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (7, 33), (130, 97)])
def test_pillow_opens_the_file(format: Format, size: tuple[int, int], is_page: bool) -> None:
    pixels = picture(*size, seed=3)
    importance = np.ones((2, 2))
    image = opened(encoded(pixels, format, importance=importance, page=is_page))
    assert (image.height, image.width) == size
    assert image.format == format.upper()
    if size == (130, 97):
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).mean() < 8


@pytest.mark.parametrize("format", LOSSY)
def test_higher_quality_is_larger(format: Format) -> None:
    pixels = picture(96, 128)
    sizes = [len(encoded(pixels, format, quality, page=True)) for quality in (5, 30, 80)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("format", FORMATS)
def test_without_prefilter_the_file_is_plain(format: Format) -> None:
    pixels = noisy_page(96, 128)
    importance = even(96, 128)
    plain = encoded(pixels, format, 50, importance=importance, page=True, prefilter=False)
    buffer = io.BytesIO()
    options: dict[str, Any] = {
        "jpeg": {"quality": 50, "subsampling": "4:2:0", "optimize": True, "progressive": True},
        "webp": {"quality": 50, "method": 6},
        "avif": {"quality": 50, "speed": 6},
        "png": {"optimize": True},
    }[format]
    Image.fromarray(pixels).save(buffer, format.upper(), **options)
    assert plain == buffer.getvalue()


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_faint_lines_of_flat_graphics_stay(format: Format) -> None:
    pixels = np.full((128, 256, 3), 255, np.uint8)
    pixels[8:24, 8:60:2] = 0
    pixels[100] = 228
    data = encoded(pixels, format, 40, importance=even(128, 256), page=True)
    assert (pixels_of(data)[100, :, 1] < 246).all()


def test_tinted_pages_lose_their_colour_and_coloured_ones_do_not() -> None:
    tinted = (noisy_page(96, 160) * np.array([1.0, 0.98, 0.97])).astype(np.uint8)
    stamped = tinted.copy()
    stamped[40:60, 40:80] = 200, 40, 40
    for pixels, mode in ((tinted, "L"), (stamped, "RGB")):
        grid = np.ones((3, 5))
        assert opened(encoded(pixels, "jpeg", 50, importance=grid, page=True)).mode == mode
        assert opened(encoded(pixels, "jpeg", 50, importance=grid)).mode == "RGB"


def test_flat_graphics_as_webp_are_of_few_colours_where_that_is_smaller() -> None:
    wide = Image.fromarray(page(400, 640))
    pixels = np.asarray(wide.resize((480, 300)))  # letters with soft edges
    tailored, plain = (encoded(pixels, "webp", 60, prefilter=one) for one in (True, False))
    assert len(tailored) < 0.8 * len(plain)
    assert balanced_error(pixels, pixels_of(tailored)) <= 1.2 * balanced_error(pixels, pixels_of(plain))


def test_paper_is_smoothed() -> None:
    pixels = noisy_page(128, 256)
    smoothed, plain = (
        encoded(pixels, "webp", 90, importance=grid, page=True) for grid in (even(128, 256), None)
    )
    assert len(smoothed) < 0.9 * len(plain)


class TestJpeg:
    def test_tables_are_those_of_the_settings(self) -> None:
        pixels = picture(64, 64)
        luma, chroma = jpeg.tables(40, jpeg.PHOTO)
        image = opened(jpeg.encode(pixels, 40, jpeg.PHOTO))
        assert image.quantization[0] == luma.reshape(-1).tolist()
        assert image.quantization[1] == chroma.reshape(-1).tolist()

    def test_files_are_smaller_than_those_of_pillow(self) -> None:
        for pixels, ratio in ((page(256, 320), 0.95), (picture(320, 320), 0.97)):
            ours, plain = jpeg.encode(pixels, 20, jpeg.PLAIN), encoded(pixels, "jpeg", 20, prefilter=False)
            assert len(ours) < ratio * len(plain)
            assert psnr(pixels_of(ours), pixels) > psnr(pixels_of(plain), pixels) - 0.02

    def test_a_side_too_long_is_refused(self) -> None:
        with pytest.raises(InputError, match="65,500"):
            encoded(np.zeros((1, 65_501, 3), np.uint8), "jpeg", 20)
        assert opened(encoded(np.zeros((1, 65_500, 3), np.uint8), "jpeg", 20)).size == (65_500, 1)

    def test_noise_is_saved(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
        assert opened(jpeg.encode(pixels, 100, jpeg.PLAIN)).size == (256, 256)

    def test_tables_of_photographs_have_finer_chroma_than_the_standard(self) -> None:
        buffer = io.BytesIO()
        Image.fromarray(picture(16, 16)).save(buffer, "JPEG", quality=40)
        plain = opened(buffer.getvalue()).quantization
        luma, chroma = jpeg.tables(40, jpeg.PHOTO)
        assert luma.reshape(-1).tolist() == plain[0]
        assert 0.2 < chroma.sum() / sum(plain[1]) < 0.25

    @pytest.mark.parametrize("quality", [0, 1, 50, 100])
    def test_tables_are_within_eight_bits(self, quality: int) -> None:
        for settings in (jpeg.PHOTO, jpeg.PAGE):
            for table in jpeg.tables(quality, settings):
                assert table.min() >= 1
                assert table.max() <= 255

    def test_a_dearer_bit_makes_a_smaller_file(self) -> None:
        pixels = noisy_page(160, 160)
        files = [jpeg.encode(pixels, 30, jpeg.Settings(1.0, 0.0, price)) for price in (0.0, 0.05, 0.2)]
        assert len(files[0]) > len(files[1]) > len(files[2])
        assert psnr(pixels_of(files[2]), pixels) > psnr(pixels_of(files[0]), pixels) - 3

    def test_the_trellis_is_at_least_as_cheap_as_rounding(self) -> None:
        sizes = np.abs(np.random.default_rng(0).laplace(0, 0.6, (200, 64))).astype(np.float32)
        nearest = np.floor(sizes + 0.5).astype(np.int16)
        chosen = jpeg._cheapest(sizes, nearest, np.full(200, 0.1, np.float32))
        bits, end = jpeg._bits(nearest)

        def cost(levels: np.ndarray) -> float:
            total = float(np.square(sizes - levels)[:, 1:].sum())
            for block in levels:
                places = np.flatnonzero(block[1:]) + 1
                runs = np.diff(places, prepend=0) - 1
                total += 0.1 * float(bits[runs, jpeg._size(block[places])].sum())
                total += 0.1 * end * (block[63] == 0)
            return total

        assert cost(chosen) < cost(nearest)
        assert (chosen <= nearest).all()
        assert (chosen[:, 0] == nearest[:, 0]).all()

    def test_bits_go_where_importance_is(self) -> None:
        pixels = picture(128, 128)
        importance = np.ones((4, 4))
        importance[:, 2:] = 16
        even, led = (
            pixels_of(jpeg.encode(pixels, 40, jpeg.PAGE, grid)) for grid in (np.ones((4, 4)), importance)
        )
        left, right = np.s_[:, :48], np.s_[:, 80:]
        assert psnr(led[right], pixels[right]) > psnr(even[right], pixels[right])
        assert psnr(led[left], pixels[left]) == psnr(even[left], pixels[left])

    def test_grey_images_have_no_chroma(self) -> None:
        pixels = picture(40, 56)[..., :1].repeat(3, 2)
        for settings in (jpeg.PHOTO, jpeg.PAGE):
            assert opened(jpeg.encode(pixels, 60, settings)).mode == "L"


class TestLossless:
    @pytest.mark.parametrize(
        "pixels",
        [
            picture(50, 70),
            page(80, 120),
            np.zeros((3, 5, 3), np.uint8),
            np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, 2),
            np.random.default_rng(0).choice(
                np.array([[1, 2, 3], [250, 0, 9], [7, 7, 7]], np.uint8), (40, 50)
            ),
        ],
        ids=["photo", "page", "black", "greys", "colours"],
    )
    def test_png_is_exact(self, pixels: np.ndarray) -> None:
        data = encoded(pixels, "png", importance=np.ones((2, 2)), page=True)
        assert (pixels_of(data) == pixels).all()

    def test_few_colours_take_a_palette(self) -> None:
        pixels = np.random.default_rng(0).choice(np.array([[1, 2, 3], [250, 0, 9]], np.uint8), (64, 64))
        file = standard.make(pixels, "png")
        assert opened(file.data).mode in ("P", "1")
        assert len(file.data) < 64 * 64 // 8 + 200
        assert file.quality is None

    def test_webp_of_flat_graphics_is_lossless_where_that_is_smaller(self) -> None:
        pixels = np.full((200, 200, 3), 255, np.uint8)
        pixels[20:60, 20:180] = 30, 90, 200
        data = encoded(pixels, "webp", 95, page=True)
        assert (pixels_of(data) == pixels).all()


class TestBudget:
    @pytest.mark.parametrize("target", [200, 400, 1000, 20_000])
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("is_page", [False, True])
    def test_every_budget_fits_or_nothing_can(self, format: Format, target: int, is_page: bool) -> None:
        pixels = noisy_page(120, 160) if is_page else picture(120, 160)
        least = len(encoded(pixels[:1, :1], format, 1))
        if least > target:
            with pytest.raises(TargetSizeError, match=f"more than {target}"):
                standard.make(pixels, format, target_size=target, page=is_page)
            return
        file = standard.make(pixels, format, target_size=target, importance=even(120, 160), page=is_page)
        assert len(file.data) <= target
        assert opened(file.data).size == (file.width, file.height)
        assert bool(file.notes) == ((file.width, file.height) != (160, 120))

    def test_the_highest_quality_is_taken(self) -> None:
        pixels = picture(96, 96)
        file = standard.make(pixels, "webp", target_size=2500)
        assert file.quality is not None
        assert not file.notes
        assert len(encoded(pixels, "webp", file.quality + 1)) > 2500

    def test_a_note_says_that_the_image_was_shrunk(self) -> None:
        file = standard.make(picture(240, 320), "jpeg", target_size=1000)
        assert file.notes == (f"shrunk from 320×240 to {file.width}×{file.height} pixels to fit 1000 bytes",)

    @pytest.mark.parametrize(("format", "most"), [("webp", 16_383), ("jpeg", 65_500)])
    def test_a_side_too_long_is_shrunk(self, format: Format, most: int) -> None:
        pixels = picture(2, 70_000)
        file = standard.make(pixels, format, target_size=1_000_000)
        assert opened(file.data).size == (most, 1)
        assert file.notes == (f"shrunk from 70000×2 to {most}×1 pixels, the most that {format} holds",)

    def test_a_side_too_long_is_shrunk_further_to_fit(self) -> None:
        file = standard.make(picture(2, 70_000), "jpeg", target_size=600)
        assert len(file.data) <= 600
        assert file.notes[0].endswith(f"to {file.width}×1 pixels to fit 600 bytes")


def test_a_large_png_of_few_colours_takes_little_memory() -> None:
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    pixels[400:, 500:] = 90
    tracemalloc.start()
    data = encoded(pixels, "png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * pixels.nbytes
    np.testing.assert_array_equal(pixels_of(data), pixels)
