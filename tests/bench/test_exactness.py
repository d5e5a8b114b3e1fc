"""The comparison of decoders finds no difference where there is none, and one where there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cotam.bench.exactness import QUALITIES, decoders, differences, main
from cotam.codec import Codec

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)


def test_all_decoders_agree() -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    codecs = decoders()
    assert len(codecs) == 6
    assert differences(PIXELS, np.full((2, 3), 5), codecs) == []


def test_a_decoder_that_is_off_by_one_is_named() -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    codecs = decoders()
    name, codec = list(codecs.items())[-1]

    def off_by_one(graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found = codec.runner(graph, inputs)
        return [np.minimum(found[0] + 1, 47)] if graph == "scales" else found

    codecs[name] = Codec(codec.weights, off_by_one)
    assert differences(PIXELS, None, codecs) == [f"{name}, quality {quality}" for quality in QUALITIES]


def test_the_command_sums_up(tmp_path: Path) -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    for name in "abc":
        Image.fromarray(PIXELS).save(tmp_path / f"{name}.png")
    result = CliRunner().invoke(main, [str(tmp_path), "--pictures", "2"])
    assert result.exit_code == 0
    assert result.output == (
        "60 of 60 decodings gave the encoder's symbols: 2 pictures, 5 qualities, 6 decoders\n"
    )
