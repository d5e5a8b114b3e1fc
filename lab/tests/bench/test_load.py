"""The load test says what grew, and only that."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cotam
from cotam_lab.bench.load import Sample, growth, main, table


def samples(memory: list[int], handles: list[int], threads: int = 5) -> list[Sample]:
    """One in each quarter of eight seconds."""
    return [
        Sample(2.0 * n + 1.9, m * 10**6, h, threads)
        for n, (m, h) in enumerate(zip(memory, handles, strict=True))
    ]


def test_growth() -> None:
    assert growth(samples([100, 300, 300, 310], [9, 9, 9, 9])) == []
    assert growth(samples([100, 300, 310, 330], [9, 9, 9, 9])) == ["memory grew from 300 to 330 MB"]
    assert growth(samples([100, 300, 300, 290], [9, 9, 9, 10])) == ["handles grew from 9 to 10"]


def test_table() -> None:
    lines = table(samples([100, 300, 310, 330], [9, 8, 9, 9])).splitlines()
    assert lines[2] == "| 2 s | 100 · 100 MB | 9 | 5 |"
    assert len(lines) == 6


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_an_output_that_changes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / f"{name}.png")
    arguments = [str(tmp_path), "--minutes", "0.05", "-j", "2"]
    result = CliRunner().invoke(main, arguments)
    assert "as the first time" in result.output or "grew" in result.output  # three seconds are few
    assert "not as it was" not in result.output
    assert " pictures there and back" in result.output

    real = cotam.encode

    def sometimes_other(image: Path, *, quality: int, guide: str) -> bytes:
        return real(image, quality=quality - int(rng.integers(2)), guide=guide)

    monkeypatch.setattr(cotam, "encode", sometimes_other)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "not as it was the first time" in result.output
