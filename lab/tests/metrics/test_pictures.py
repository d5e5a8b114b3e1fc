"""Judges say what they should of known damage, and say so when they are fed noise."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cotam.errors import InputError, MissingExtraError
from cotam_lab.metrics import pictures

RANDOM = np.random.default_rng(0)


def photo(height: int = 176, width: int = 203) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    base = 128 + 70 * np.sin(x / 11) * np.cos(y / 17) + 30 * np.sin((x + y) / 3)
    return np.stack([base, base[::-1], 255 - base], axis=-1).clip(0, 255).astype(np.uint8)


def noise(height: int = 176, width: int = 203) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def page(*lines: str) -> np.ndarray:
    image = Image.new("RGB", (400, 400), "white")
    for number, line in enumerate(lines):
        place = 30, 180 + 60 * number
        ImageDraw.Draw(image).text(place, line, fill="black", font=ImageFont.load_default(30))
    return np.array(image)


def test_psnr_of_known_errors() -> None:
    flat = np.full((9, 7, 3), 100, np.uint8)
    assert pictures.psnr(flat, flat) == 100
    assert pictures.psnr(flat, flat + 1) == pytest.approx(48.1308, abs=1e-4)  # 20 log10(255)
    assert pictures.psnr(flat, flat + 10) == pytest.approx(28.1308, abs=1e-4)
    one = flat.copy()
    one[..., 0] += 3  # mean squared error 9 / 3
    assert pictures.psnr(flat, one) == pytest.approx(10 * np.log10(255**2 / 3), abs=1e-4)
    assert pictures.psnr(np.zeros_like(flat), np.full_like(flat, 255)) == 0


def test_fidelity_of_noise_is_nil() -> None:
    scores = pictures.FIDELITY.score(photo(), noise(), ())
    assert tuple(scores) == pictures.FIDELITY.keys
    assert scores["psnr"] < 10
    assert scores["ms_ssim"] < 0.1
    assert scores["ms_ssim_db"] < 0.5


def test_fidelity_falls_with_damage() -> None:
    picture = photo()
    scores = []
    for strength in (0, 2, 8, 30):
        damaged = (picture + RANDOM.normal(0, strength, picture.shape)).clip(0, 255).astype(np.uint8)
        scores.append(pictures.FIDELITY.score(picture, damaged, ()))
    for key in pictures.FIDELITY.keys:
        values = [score[key] for score in scores]
        assert values == sorted(set(values), reverse=True), key
    assert scores[0] == {"psnr": 100, "ms_ssim": pytest.approx(1), "ms_ssim_db": 100}


@pytest.mark.parametrize("size", [(161, 161), (176, 203), (255, 190)])
def test_ms_ssim_equals_the_package_of_the_literature(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("pytorch_msssim")
    picture = photo(*size)
    damaged = np.roll(picture, 1, axis=0) // 2 + noise(*size) // 4
    for other in (damaged, noise(*size)):
        tensors = [torch.tensor(one).permute(2, 0, 1)[None].double() for one in (picture, other)]
        expected = package.ms_ssim(*tensors, data_range=255).item()
        assert pictures.ms_ssim(picture, other) == pytest.approx(expected, abs=1e-5)  # its window is float32


def test_small_pictures_have_no_ms_ssim() -> None:
    small = photo(160, 300)
    with pytest.raises(InputError, match="at least 161"):
        pictures.ms_ssim(small, small)
    assert pictures.FIDELITY.score(small, small, ())["ms_ssim"] is None


def test_other_sizes_are_refused() -> None:
    for judge in (pictures.psnr, pictures.ms_ssim):
        with pytest.raises(InputError, match="decoded picture is"):
            judge(photo(180, 200), photo(200, 180))


def test_words_are_normalised() -> None:
    assert pictures.words("  TEL : 03-7731 (Kuala). ") == ["tel", "03-7731", "kuala"]
    assert pictures.words("STRASSE straße ＡＢ１") == ["strasse", "strasse", "ab1"]
    assert pictures.words("*** -- …") == []


def test_word_score_counts_multisets() -> None:
    score = pictures.word_score(["Total 5.00", "tax 5.00"], ["TOTAL: 5.00 change", "5.00 5.00"])
    assert score.recall == 3 / 4  # total and both 5.00, not tax
    assert score.precision == 3 / 5
    assert score.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert pictures.word_score(["a b"], ["ab"]) == pictures.WordScore(0, 0, 0)
    assert pictures.word_score(["a"], []) == pictures.WordScore(0, 0, 0)
    with pytest.raises(InputError, match="without labelled words"):
        pictures.word_score(["--"], ["a"])


def test_reader_reads_text_and_fails_on_noise() -> None:
    pytest.importorskip("rapidocr")
    written = "Invoice 2048 total"
    clean = page(written)
    assert pictures.TEXT.score(clean, clean, [written]) == {"recall": 1, "precision": 1, "f1": 1}
    spoiled = (clean // 8 + RANDOM.normal(110, 60, clean.shape)).clip(0, 255).astype(np.uint8)
    assert pictures.TEXT.score(clean, spoiled, [written])["recall"] == 0
    blank = np.full_like(clean, 255)
    assert pictures.TEXT.score(clean, blank, [written])["recall"] == 0


def test_words_kept_are_those_of_the_original() -> None:
    pytest.importorskip("rapidocr", reason="needs cotam[bench]")
    clean = page("Total 12.50", "Change 7.50")
    without = page("Total 12.50")
    assert pictures.READING.score(clean, clean, ()) == {"words_kept": 1}
    assert pictures.READING.score(clean, without, ()) == {"words_kept": 0.5}
    assert pictures.READING.score(without, clean, ()) == {"words_kept": 1}
    blank = np.full_like(clean, 255)
    assert pictures.READING.score(blank, clean, ()) == {"words_kept": None}


def test_missing_reader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    pictures._reader.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'cotam\[bench\]'"):
        pictures.read_text(photo())
