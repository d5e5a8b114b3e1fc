"""The second reader and contrast-weighted error."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from synthetic import page

from cotam.compare.words import words
from cotam.errors import CotamError
from cotam_lab.metrics.base import metric
from cotam_lab.metrics.tesseract import CONTRAST, read_with_tesseract

with_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs tesseract")


@with_tesseract
def test_clean_text_is_read_and_noise_is_not() -> None:
    pixels = page(160, 480, 20)
    read = [word for line in read_with_tesseract(pixels) for word in words(line)]
    assert {"milk", "bread", "total"} <= set(read)
    tested = metric("tesseract")
    assert tested.score(pixels, pixels, ()) == {"tesseract_kept": 1.0}
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    kept = tested.score(pixels, noise, ())["tesseract_kept"]
    assert kept is not None
    assert kept < 0.2


@with_tesseract
def test_an_image_without_words_says_nothing() -> None:
    blank = np.full((80, 120, 3), 255, np.uint8)
    assert metric("tesseract").score(blank, blank, ()) == {"tesseract_kept": None}


def test_what_is_missing_is_said_before_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CotamError, match="apt-get install tesseract-ocr"):
        metric("tesseract").prepare()


def test_contrast_of_known_errors() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    assert CONTRAST.score(grey, grey, ())["contrast"] == 100
    value = CONTRAST.score(grey, grey + np.uint8(10), ())["contrast"]
    assert value == pytest.approx(20 * np.log10(25.5), abs=0.01)
