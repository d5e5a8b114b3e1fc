"""What is compared is what the files hold."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image
from synthetic import picture

import cotam
from cotam.compare import features, words
from cotam.compare.formats import installed_formats
from cotam.compare.sheet import crop_corner, draw
from cotam.compare.table import compare
from cotam.errors import CotamError
from cotam.image.psnr import psnr

PIXELS = picture(60, 80)
ROWS = compare(PIXELS, quality=40)


def test_every_format_fits_into_the_bytes_of_cotam() -> None:
    ours, *others = ROWS
    assert ours.data == cotam.encode(PIXELS, quality=40)
    assert [row.format for row in others] == installed_formats()
    for row in others:
        lowest = len(row.format.encode(PIXELS, row.format.qualities[0]))
        assert len(row.data) <= max(len(ours.data), lowest)


def test_rows_show_what_their_files_decode_to() -> None:
    for row in ROWS[1:]:
        with Image.open(io.BytesIO(row.data)) as image:
            assert image.format == row.format.title.upper()
            assert np.array_equal(np.asarray(image.convert("RGB")), row.pixels)
        error = np.mean((row.pixels.astype(float) - PIXELS) ** 2)
        assert row.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


@pytest.mark.skipif(not features.available(), reason=f"needs: {features.INSTALL}")
def test_the_file_for_equal_features_is_as_near_and_no_smaller_quality_is() -> None:
    ours, *others = ROWS
    assert ours.features is not None
    seen = features.tokens(PIXELS)
    for row in others:
        if row.equal_features is None:
            continue
        files = (row.format.encode(PIXELS, quality) for quality in row.format.qualities)
        near = row.format.decode(next(file for file in files if len(file) == row.equal_features))
        assert np.mean((features.tokens(near) - seen) ** 2) <= ours.features


def test_equal_images_have_the_highest_psnr() -> None:
    assert psnr(PIXELS, PIXELS) == 100
    assert psnr(PIXELS, 255 - PIXELS) < 20


def test_words_count_as_often_as_they_are_written() -> None:
    assert words.words("  TEL : 03-7731 (Kuala). ") == ["tel", "03-7731", "kuala"]
    assert words.words("STRASSE straße ＡＢ１") == ["strasse", "strasse", "ab1"]
    assert words.words("*** -- …") == []
    assert words.share_read(["a b", "A"], ["a a a"]) == pytest.approx(2 / 3)
    assert words.share_read([" - "], ["x"]) is None


def test_a_reader_that_cannot_be_imported_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    words._reader.cache_clear()
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(CotamError, match="RapidOCR cannot be imported: import of rapidocr halted"):
        words.read(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.skipif(not words.available(), reason=f"needs: {words.INSTALL}")
def test_a_strip_is_searched_for_words() -> None:
    """RapidOCR refused it; of shorter ones it made gigabytes."""
    assert words.read(np.zeros((2100, 1, 3), np.uint8)) == []


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300)])
def test_the_crop_of_a_strip(size: tuple[int, int]) -> None:
    assert crop_corner(np.zeros((*size, 3), np.uint8)) == (0, 0)


def test_the_crop_shows_where_most_varies() -> None:
    pixels = np.full((600, 900, 3), 128, np.uint8)
    pixels[304:514, 512:792] = np.random.default_rng(0).integers(0, 256, (210, 280, 3))
    left, top = crop_corner(pixels)
    assert abs(left - 512) <= 1
    assert abs(top - 304) <= 1


def test_the_sheet_shows_each_decoded_image() -> None:
    sheet = np.asarray(draw([("a.png", PIXELS, ROWS)]))
    for pixels in (PIXELS, *(row.pixels for row in ROWS)):
        row = pixels[30].tobytes()
        assert any(row in line.tobytes() for line in sheet)
