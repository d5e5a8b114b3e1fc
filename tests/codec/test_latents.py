"""What a file gives before synthesis: latents and their gain."""

from __future__ import annotations

import numpy as np
import pytest
from default_codec import CODEC
from synthetic import level_map, picture

from cotam.codec import tiling
from cotam.codec.planes import Grid

WEIGHTS = CODEC.weights


@pytest.mark.parametrize("size", [(1, 1), (65, 63), (500, 600)])
@pytest.mark.parametrize("with_levels", [False, True])
def test_latents_are_what_the_picture_is_made_of(
    size: tuple[int, int], with_levels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "WHOLE", 6 * 64)
    monkeypatch.setattr(tiling, "TILE", 6 * 64)
    levels = np.maximum(level_map(*size), 1)
    data = CODEC.encode(picture(*size), 60, levels=levels if with_levels else None)
    found = CODEC.decode_latents(data)
    assert np.array_equal(CODEC.synthesise(found), CODEC.decode(data))
    assert found.values.shape == (256, *Grid(*size).latents)
    assert found.nominal == float(WEIGHTS.nominal[60])
    assert np.array_equal(found.levels, levels) if with_levels else found.levels is None
    # Close to the latents that were coded, by half a step.
    latents = CODEC.analyse(picture(*size), Grid(*size))
    gain = WEIGHTS.gains[60][:, None, None] * np.exp2(found.log2_gain - found.nominal)
    assert (np.abs(found.values - latents) * gain < 0.51).mean() > 0.95


def test_the_gain_of_latents_follows_the_levels() -> None:
    levels = np.array([[0, 4, -4], [1, 2, 7]], np.int8)
    found = CODEC.decode_latents(CODEC.encode(picture(60, 90), 30, levels=levels))
    assert found.log2_gain.shape == (4, 6)
    octaves = found.log2_gain - np.float32(found.nominal)
    assert np.allclose(octaves[::2, ::2], levels / 4, atol=1e-6)
    assert np.allclose(octaves, octaves[::2, ::2].repeat(2, 0).repeat(2, 1))
