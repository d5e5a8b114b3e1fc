"""Words are split, counted and read as documented."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cotam.errors import InputError
from cotam_lab.metrics import text

RANDOM = np.random.default_rng(0)


def page(*lines: str) -> np.ndarray:
    image = Image.new("RGB", (400, 400), "white")
    for number, line in enumerate(lines):
        place = 30, 180 + 60 * number
        ImageDraw.Draw(image).text(place, line, fill="black", font=ImageFont.load_default(30))
    return np.array(image)


def test_word_score_counts_multisets() -> None:
    score = text.word_score(["Total 5.00", "tax 5.00"], ["TOTAL: 5.00 change", "5.00 5.00"])
    assert score.recall == 3 / 4  # total and both 5.00, not tax
    assert score.precision == 3 / 5
    assert score.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert text.word_score(["a b"], ["ab"]) == text.WordScore(0, 0, 0)
    assert text.word_score(["a"], []) == text.WordScore(0, 0, 0)
    with pytest.raises(InputError, match="no labelled words"):
        text.word_score(["--"], ["a"])


def test_reader_reads_text_and_fails_on_noise() -> None:
    pytest.importorskip("rapidocr")
    written = "Invoice 2048 total"
    clean = page(written)
    assert text.TEXT.score(clean, clean, [written]) == {"recall": 1, "precision": 1, "f1": 1}
    spoiled = (clean // 8 + RANDOM.normal(110, 60, clean.shape)).clip(0, 255).astype(np.uint8)
    assert text.TEXT.score(clean, spoiled, [written])["recall"] == 0
    blank = np.full_like(clean, 255)
    assert text.TEXT.score(clean, blank, [written])["recall"] == 0


def test_words_kept_are_those_of_the_original() -> None:
    pytest.importorskip("rapidocr")
    clean = page("Total 12.50", "Change 7.50")
    without = page("Total 12.50")
    assert text.READING.score(clean, clean, ()) == {"words_kept": 1}
    assert text.READING.score(clean, without, ()) == {"words_kept": 0.5}
    assert text.READING.score(without, clean, ()) == {"words_kept": 1}
    blank = np.full_like(clean, 255)
    assert text.READING.score(blank, clean, ()) == {"words_kept": None}
