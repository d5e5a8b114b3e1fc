"""PSNR and MS-SSIM have known values on known damage."""

import numpy as np
import pytest

from cotam_lab.metrics import fidelity

RANDOM = np.random.default_rng(0)


def photo(height: int = 176, width: int = 203) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    base = 128 + 70 * np.sin(x / 11) * np.cos(y / 17) + 30 * np.sin((x + y) / 3)
    return np.stack([base, base[::-1], 255 - base], axis=-1).clip(0, 255).astype(np.uint8)


def noise(height: int = 176, width: int = 203) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_fidelity_of_noise_is_nil() -> None:
    scores = fidelity.FIDELITY.score(photo(), noise(), ())
    assert tuple(scores) == fidelity.FIDELITY.keys
    assert scores["psnr"] < 10
    assert scores["ms_ssim"] < 0.1
    assert scores["ms_ssim_db"] < 0.5


def test_fidelity_falls_with_damage() -> None:
    original = photo()
    scores = []
    for strength in (0, 2, 8, 30):
        damaged = (original + RANDOM.normal(0, strength, original.shape)).clip(0, 255).astype(np.uint8)
        scores.append(fidelity.FIDELITY.score(original, damaged, ()))
    for key in fidelity.FIDELITY.keys:
        values = [score[key] for score in scores]
        assert values == sorted(set(values), reverse=True), key
    assert scores[0] == {"psnr": 100, "ms_ssim": pytest.approx(1), "ms_ssim_db": 100}


def test_small_images_have_no_ms_ssim() -> None:
    small = photo(160, 300)
    assert fidelity.FIDELITY.score(small, small, ())["ms_ssim"] is None
