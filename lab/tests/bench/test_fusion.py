"""Fusions are compared on real files, and a stopped comparison goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import picture

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny import teacher

from cotam.codec.shared import codec
from cotam.guide import multiscale
from cotam_lab.bench.fusion import FUSIONS, SCORES, CachedGuide, summary, tiled_scores, variants
from cotam_lab.bench.levels import UNIFORM, Subject, measure


class Bright:
    """Mean brightness of cells; counts what it is asked."""

    side = 96
    exponent = 0.5

    def __init__(self) -> None:
        self.asked = 0

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        self.asked += 1
        found = pixels[::16, ::16].mean(2, dtype=np.float32) + 1
        return found / found.mean()


def test_a_map_is_asked_for_once() -> None:
    guide, pixels = Bright(), picture(120, 200)
    kept = CachedGuide(guide)
    assert (kept.side, kept.exponent) == (96, 0.5)
    maps = [multiscale.importance(kept, pixels, fusion=fusion) for fusion in FUSIONS]
    once = guide.asked
    assert np.array_equal(maps[2], multiscale.importance(kept, pixels, fusion=0.5))
    assert guide.asked == once
    assert np.array_equal(maps[2], multiscale.importance(Bright(), pixels, fusion=0.5))


def test_scores_are_of_the_whole_and_of_tiles_at_full_scale() -> None:
    encoder = teacher()
    pixels = picture(encoder.side, 3 * encoder.side)
    score = tiled_scores(encoder, pixels)
    fine = pixels.copy()
    fine[::2, ::2] = 255 - fine[::2, ::2]  # a pattern that hardly remains in the reduced image
    shifted = np.clip(pixels.astype(int) + 40, 0, 255).astype(np.uint8)
    seen, other = score(fine), score(shifted)
    assert set(seen) >= set(SCORES["photos"])
    assert seen["whole_features"] - seen["tiles_features"] > other["whole_features"] - other["tiles_features"]
    assert min(value for value in score(pixels).values() if value is not None) > 40


def test_a_stopped_comparison_goes_on_and_becomes_a_table(tmp_path: Path) -> None:
    def words(decoded: np.ndarray) -> dict[str, float | None]:
        return {"recall": 1 - float(np.abs(decoded.astype(int) - pixels).mean()) / 255}

    pixels, file = picture(128, 192), tmp_path / "rows.jsonl"
    measure(codec(), [Subject("a", pixels, words)], variants("bright", Bright()), (10, 40), file)
    first = file.read_text()
    both = [Subject("a", pixels, words), Subject("b", pixels, words)]
    measure(codec(), both, variants("bright", Bright()), (10, 40), file)
    assert file.read_text().startswith(first)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 2 * 2 * (1 + len(FUSIONS))
    assert len({(row["image"], row["codec"], row["quality"]) for row in rows}) == len(rows)
    found = summary(rows, "bright", SCORES["documents"]).splitlines()
    assert found[0] == f"| against bright@{multiscale.FUSION:g} | word accuracy, % |"
    assert [line.split(" | ")[0] for line in found[2:]] == [
        f"| {UNIFORM}",
        *(f"| bright@{fusion:g}" for fusion in FUSIONS),
    ]
    assert found[3 + FUSIONS.index(multiscale.FUSION)].endswith("| 0 |")
