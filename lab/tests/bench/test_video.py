"""Clips through video codecs: rows are kept, and made again only where they would differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clips import clip, still_scene

pytest.importorskip("av")

from cotam_lab.bench.specs import VIDEO_NAMES
from cotam_lab.bench.video import CODECS, measured, table
from cotam_lab.metrics.base import metric

SAMPLING: dict[str, Any] = {"fps": 1.0, "most": 2, "fit": "llava-1.5"}
TWO = ("cotam one by one", "x264")


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    data = clip(still_scene(3, (96, 128)), [0, 1, 2])
    paths = [tmp_path / f"{name}.mp4" for name in "ab"]
    for path in paths:
        path.write_bytes(data)
    return [str(path) for path in paths]


def test_all_codecs_are_offered() -> None:
    assert tuple(CODECS) == VIDEO_NAMES


def test_rows_are_kept_and_what_is_missing_is_made(clips: list[str], tmp_path: Path) -> None:
    scored, out = metric("fidelity"), tmp_path / "out"
    first = measured(clips[:1], TWO[1:], out, scored, SAMPLING)
    assert [row["quality"] for row in first] == list(CODECS["x264"].settings)
    assert all(row["frames"] == 2 and row["bytes"] > 0 for row in first)
    file = out / "rows.jsonl"
    whole = file.read_text()
    file.write_text(whole[:-40])  # as a kill leaves it
    rows = measured(clips, TWO, out, scored, SAMPLING)
    assert {(row["image"], row["codec"]) for row in rows} == {(i, c) for i in "ab" for c in TWO}
    assert len(rows) == sum(2 * len(CODECS[codec].settings) for codec in TWO)
    size = file.stat().st_size
    assert measured(clips, TWO, out, scored, SAMPLING) == rows
    assert file.stat().st_size == size
    assert table(rows, "x264", ["psnr"]).count("one by one") == 1


def test_rows_of_other_frames_are_not_taken(clips: list[str], tmp_path: Path) -> None:
    scored, out = metric("fidelity"), tmp_path / "out"
    two, three = (measured(clips[:1], TWO[1:], out, scored, SAMPLING | {"most": most}) for most in (2, 3))
    assert [row["frames"] for row in two + three] == [2] * 4 + [3] * 4
    versions = {json.loads(line)["version"] for line in (out / "rows.jsonl").read_text().splitlines()}
    assert len(versions) == 2
