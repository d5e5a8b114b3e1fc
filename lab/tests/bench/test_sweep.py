"""Sweeps keep every row they made, make none twice, and survive a codec that fails."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cotam.errors import CotamError, InputError
from cotam_lab.bench import baselines
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.images import Sample, find_images
from cotam_lab.bench.sweep import ORIGINAL, Job, measure, plan, read_rows, sweep
from cotam_lab.metrics.base import Metric


class Counting:
    """A codec that stores pixels, counts what it does, and cannot encode black images."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.shape = (0, 0, 0)

    def encode(self, pixels: np.ndarray, quality: int) -> bytes:
        self.calls.append(quality)
        if not pixels.any():
            raise RuntimeError("too dark")
        self.shape = pixels.shape
        return (pixels // (20 - quality)).tobytes()

    def decode(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.uint8).reshape(self.shape)

    def codec(self, version: str = "1") -> Codec:
        return Codec("store", self.encode, self.decode, (5, 9), version)


def _brightness(original: np.ndarray, decoded: np.ndarray, texts: Sequence[str]) -> dict[str, float | None]:
    return {"brightness": float(decoded.mean())}


METRIC = Metric("brightness", ("brightness",), ("brightness",), _brightness)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    for name, colour in (("black", 0), ("gray", 100), ("white", 255)):
        Image.new("RGB", (6, 4), (colour,) * 3).save(tmp_path / f"{name}.png")
    return find_images(tmp_path)


def test_row_has_real_bytes_and_rates(samples: list[Sample]) -> None:
    row = measure(Job(samples[1], Counting().codec(), 10), [METRIC])
    assert {key: row[key] for key in ("codec", "version", "quality", "image", "width", "height")} == {
        "codec": "store",
        "version": "1",
        "quality": 10,
        "image": "gray.png",
        "width": 6,
        "height": 4,
    }
    assert row["bytes"] == 72
    assert row["bpp"] == 8 * 72 / 24
    assert row["brightness"] == 10
    assert row["encode_s"] >= 0 <= row["decode_s"]


def test_stopped_sweep_goes_on(samples: list[Sample], tmp_path: Path) -> None:
    file, store = tmp_path / "out" / "rows.jsonl", Counting()
    wanted = plan(samples[1:], [(store.codec(), (5, 9))])
    whole = sweep(file, wanted, [METRIC])
    assert store.calls == [5, 9, 5, 9]
    kept = file.read_text().splitlines(keepends=True)
    file.write_text("".join(kept[:2]) + kept[2][:40])  # stopped within the third line
    again = sweep(file, wanted, [METRIC])
    assert store.calls[4:] == [5, 9]
    assert [row["image"] for row in again] == [row["image"] for row in whole]
    assert len(read_rows(file)) == 4
    sweep(file, wanted, [METRIC])
    assert len(store.calls) == 6


def test_whole_last_line_without_end_is_kept(samples: list[Sample], tmp_path: Path) -> None:
    file, store = tmp_path / "rows.jsonl", Counting()
    wanted = plan(samples[1:2], [(store.codec(), (5, 9))])
    sweep(file, wanted, [METRIC])
    file.write_text(file.read_text()[:-1])
    sweep(file, wanted, [METRIC])
    assert len(store.calls) == 2
    assert len(read_rows(file)) == 2


def test_failing_codec_leaves_a_row(samples: list[Sample], tmp_path: Path) -> None:
    file, store = tmp_path / "rows.jsonl", Counting()
    wanted = plan(samples, [(store.codec(), (5,))], originals=True)
    rows = sweep(file, wanted, [METRIC])
    failed = [row for row in rows if "error" in row]
    assert [row["image"] for row in failed] == ["black.png"]
    assert failed[0]["error"] == "RuntimeError: too dark"
    assert "bytes" not in failed[0]
    assert len([row for row in rows if row["codec"] == ORIGINAL]) == 3
    assert rows[0]["bytes"] == samples[0].path.stat().st_size
    assert sweep(file, wanted, [METRIC]) == rows
    assert len(store.calls) == 3


def test_wrong_size_is_an_error(samples: list[Sample]) -> None:
    codec = Codec("flat", lambda pixels, quality: b"x", lambda data: np.zeros((1, 1, 3), np.uint8), (), "1")
    assert "decoded as (1, 1, 3)" in measure(Job(samples[1], codec, 1), [METRIC])["error"]


def test_new_version_is_measured_anew(samples: list[Sample], tmp_path: Path) -> None:
    file, store = tmp_path / "rows.jsonl", Counting()
    for version in ("1", "2", "1"):
        rows = sweep(file, plan(samples[1:2], [(store.codec(version), (5,))]), [METRIC])
        assert [row["version"] for row in rows] == [version]
    assert len(store.calls) == 2


def test_failing_metric_leaves_a_row(samples: list[Sample], tmp_path: Path) -> None:
    def score(original: np.ndarray, *_: object) -> dict[str, float | None]:
        return {"odd": 1 / float(original.any()) if original.mean() < 200 else float("nan")}

    file, store = tmp_path / "rows.jsonl", Counting()
    wanted = plan(samples[1:], [(store.codec(), (5,))])
    rows = sweep(file, wanted, [Metric("picky", ("odd",), ("odd",), score), METRIC])
    assert [row["odd"] for row in rows] == [1.0, None]
    assert rows[1]["error"] == "metric picky: ValueError: odd is nan"
    assert rows[1]["bytes"] == 72
    assert rows[1]["brightness"] > 0
    assert sweep(file, wanted, [Metric("picky", ("odd",), ("odd",), score), METRIC]) == rows
    assert len(store.calls) == 2


def test_later_metric_adds_to_the_rows(samples: list[Sample], tmp_path: Path) -> None:
    file, seen = tmp_path / "rows.jsonl", []

    def score(original: np.ndarray, *_: object) -> dict[str, float | None]:
        seen.append(original.mean())
        return {"first": 1.0}

    wanted = plan(samples, [(Counting().codec(), (5,))])
    sweep(file, wanted, [Metric("first", ("first",), ("first",), score)])
    rows = sweep(file, wanted, [Metric("first", ("first",), ("first",), score), METRIC])
    assert len(seen) == 2
    assert "error" in rows[0]
    assert all({"first", "brightness", "bytes"} <= set(row) for row in rows[1:])
    assert [row["image"] for row in read_rows(file)].count("black.png") == 1


def test_metric_that_cannot_be_loaded_stops_the_sweep(samples: list[Sample], tmp_path: Path) -> None:
    def prepare() -> None:
        raise CotamError("something")

    metric = Metric("absent", ("absent",), ("absent",), METRIC.score, prepare=prepare)
    with pytest.raises(CotamError, match="something"):
        sweep(tmp_path / "rows.jsonl", plan(samples, [], originals=True), [metric])
    assert not read_rows(tmp_path / "rows.jsonl")


def test_foreign_line_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"codec": "store"}) + "\n")
    with pytest.raises(InputError, match="line 1 is not a row"):
        sweep(file, plan(samples, [], originals=True), [METRIC])


def test_processes_make_the_same_rows(samples: list[Sample], tmp_path: Path) -> None:
    wanted = plan(samples, [(baselines.codec("jpeg"), (20, 80))])
    timeless = [
        [{key: value for key, value in row.items() if not key.endswith("_s")} for row in rows]
        for rows in (
            sweep(tmp_path / "one.jsonl", wanted, [METRIC]),
            sweep(tmp_path / "two.jsonl", wanted, [METRIC], jobs=2),
        )
    ]
    assert timeless[0] == timeless[1]
