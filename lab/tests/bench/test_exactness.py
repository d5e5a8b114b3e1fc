"""The comparison of decoders finds no difference where there is none, and one where there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cotam.codec.still import Codec
from cotam_lab.bench.exactness import QUALITIES, decoders, differences, golden, main

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)


def test_all_decoders_agree() -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    codecs = dict(decoders())
    assert len(codecs) == 6
    assert differences(PIXELS, np.full((2, 3), 5), codecs) == []


def test_a_decoder_that_is_off_by_one_is_named() -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    codecs = dict(decoders())
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


GOLDEN = sorted(p for p in (Path(__file__).parents[3] / "tests/golden").glob("*.cotam") if p.stem != "page")


def test_golden_files_with_many_threads_and_every_optimisation() -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    files = [path for path in GOLDEN if path.stem != "bands"]  # which takes as long as all others
    assert len(files) == 3
    wrong, count, most = golden(
        files, decoders(threads=[1, 7], optimisations=["all", "extended", "basic", "none"])
    )
    assert (wrong, count) == ([], 30)
    assert most <= 1


def test_a_decoder_of_other_pixels_or_symbols_is_named() -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    (first, codec), *_ = decoders(threads=[1])

    def darker(graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found = codec.runner(graph, inputs)
        return [np.maximum(found[0], 9) - 9] if graph == "synthesis" else found

    def off_by_one(graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found = codec.runner(graph, inputs)
        return [np.minimum(found[0] + 1, 47)] if graph == "scales" else found

    others = [("dark", Codec(codec.weights, darker)), ("off", Codec(codec.weights, off_by_one))]
    wrong, count, most = golden(GOLDEN[2:3], iter([(first, codec), *others]))
    assert (count, most) == (3, 9)
    assert len(wrong) == 2
    assert "dark: pixels differ by 9" in wrong[0]
    assert "off: " in wrong[1]
