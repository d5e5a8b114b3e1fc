"""What guides cost is measured on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from guides import energy_graph
from PIL import Image
from synthetic import level_map, picture

import cotam
from cotam_lab.bench.guided import coded_map, main, sizes, times


class Left:
    """A guide to which the left half counts more."""

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        return np.array([[9.0, 1.0]], np.float32) / 5


def test_sizes_are_those_of_files() -> None:
    pixels = picture(192, 256, seed=1)
    bpp, guided, mean_zero, ternary, share = sizes(Left(), pixels, 30, 2.0)
    plain = len(cotam.encode(pixels, quality=30, guide="none"))
    assert bpp == pytest.approx(8 * plain / (192 * 256))
    data = cotam.encode(pixels, quality=30, guide=Left(), guide_strength=2.0)
    assert guided == pytest.approx(100 * (len(data) / plain - 1))
    data = cotam.encode(pixels, quality=30, guide=Left(), guide_strength=2.0, guide_policy="ternary")
    assert ternary == pytest.approx(100 * (len(data) / plain - 1))
    assert mean_zero != guided
    assert 0 < share < 5


def test_a_map_alone() -> None:
    assert len(coded_map(np.zeros((8, 8), np.int8))) <= 8
    assert 8 < len(coded_map(level_map(256, 256))) < 64


def test_times_are_of_each_step() -> None:
    found = times(Left(), picture(64, 64))
    assert list(found) == ["guide", "of it around the graph", "costs", "levels", "write", "read"]
    assert all(0 <= ms < 1000 for ms in found.values())


def test_the_table(tmp_path: Path) -> None:
    (tmp_path / "energy.onnx").write_bytes(energy_graph())
    Image.fromarray(picture(64, 96)).save(tmp_path / "a.png")
    options = [str(tmp_path), "--guide", str(tmp_path / "energy.onnx"), "-q", "20", "-s", "3", "--side", "64"]
    lines = CliRunner().invoke(main, options, catch_exceptions=False).output.splitlines()
    assert lines[0].startswith("| guide | strength | quality | bpp | size % |")
    assert lines[2].startswith("| energy | 3 | 20 | ")
    assert lines[2].count("|") == lines[0].count("|") == 9
    assert lines[3].startswith("energy, 64×64, ms: guide ")
