"""Fusions are compared on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import picture

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny import teacher

from cotam.guide import multiscale
from cotam_lab.bench.fusion import FUSIONS, SCORES, summary, tiled_metric, variants
from cotam_lab.bench.guides import UNIFORM
from cotam_lab.bench.images import find_images
from cotam_lab.bench.sweep import plan, sweep
from cotam_lab.metrics.base import Metric


class Bright:
    """Mean brightness of cells."""

    side = 96
    exponent = 0.5

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        found = pixels[::16, ::16].mean(2, dtype=np.float32) + 1
        return found / found.mean()


def test_scores_are_of_the_whole_and_of_tiles_at_full_scale() -> None:
    encoder = teacher()
    pixels = picture(encoder.side, 3 * encoder.side)
    score = tiled_metric(encoder).score
    fine = pixels.copy()
    fine[::2, ::2] = 255 - fine[::2, ::2]  # a pattern that hardly remains in the reduced image
    shifted = np.clip(pixels.astype(int) + 40, 0, 255).astype(np.uint8)
    seen, other = score(pixels, fine, ()), score(pixels, shifted, ())
    assert set(seen) == set(SCORES["photos"])
    assert seen["whole_features"] - seen["tiles_features"] > other["whole_features"] - other["tiles_features"]
    assert min(value for value in score(pixels, pixels, ()).values() if value is not None) > 40


def test_fusions_are_compared_in_a_table(tmp_path: Path) -> None:
    def words(pixels: np.ndarray, decoded: np.ndarray, texts: object) -> dict[str, float | None]:
        return {"recall": 1 - float(np.abs(decoded.astype(int) - pixels).mean()) / 255}

    for number in range(2):
        Image.fromarray(picture(128, 192, seed=number)).save(tmp_path / f"{number}.png")
    ladders = [(one, (10, 40)) for one in variants("bright", Bright())]
    wanted = plan(find_images(tmp_path), ladders)
    rows = sweep(tmp_path / "rows.jsonl", wanted, [Metric("words", ("recall",), (), words)])
    assert len(rows) == 2 * 2 * (1 + len(FUSIONS))
    sizes = {row["codec"]: row["bytes"] for row in rows if (row["image"], row["quality"]) == ("0.png", 40)}
    assert len(set(sizes.values())) > 2
    found = summary(rows, "bright", SCORES["documents"]).splitlines()
    assert found[0] == f"| against bright@{multiscale.FUSION:g} | word accuracy, % |"
    assert [line.split(" | ")[0] for line in found[2:]] == [
        f"| {UNIFORM}",
        *(f"| bright@{fusion:g}" for fusion in FUSIONS),
    ]
    assert found[3 + FUSIONS.index(multiscale.FUSION)].endswith("| 0 |")
