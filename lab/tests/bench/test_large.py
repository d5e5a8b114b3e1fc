"""Growth is measured by commands, kept in rows and drawn; large pictures are what their names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import picture

pytest.importorskip("torch")

from cotam_lab.bench.large import GUIDED, PLAIN, WORKS, draw, grow, growth_table, large_pictures, slope
from cotam_lab.bench.pictures import Picture

ROWS = [
    {"codec": codec, "work": work, "megapixels": n, "processor": 0.4 * n, "peak": 1e7 * n**2}
    for codec, work in WORKS
    for n in (100, 12, 25, 1)
]


def test_slopes_leave_small_sizes_out() -> None:
    sizes = np.array([1.0, 5.0, 12.0, 25.0, 100.0])
    assert slope(sizes, np.where(sizes < 12, 99, sizes**1.5)) == pytest.approx(1.5)


def test_rows_become_a_table_and_a_figure(tmp_path: Path) -> None:
    found = growth_table(ROWS).splitlines()
    assert found[0] == "|  | 1 MP | 12 MP | 25 MP | 100 MP | slope from 12 MP |"
    assert found[2] == f"| {PLAIN}: encode | 0.4 · 10 | 4.8 · 1440 | 10 · 6250 | 40 · 100000 | 1.00 · 2.00 |"
    files = [tmp_path / name for name in ("a.svg", "b.svg", "c.png")]
    draw(ROWS, files)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_large_pictures_are_large(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(400, 900)).resize((4500, 3000)).save(path, compress_level=1)
    found = large_pictures([path] * 19)
    shapes = {name: pixels.shape[:2] for name, pixels in found.items()}
    assert shapes["4K screenshot, 200 %"] == (2160, 3840)
    assert 11_900_000 < np.prod(shapes["photo"]) <= 12_000_000
    assert shapes["long receipt"][0] >= 8 * shapes["long receipt"][1]
    assert shapes["panorama"] == (1500, 9000)
    assert all(pixels.dtype == np.uint8 and pixels.std() > 5 for pixels in found.values())


@pytest.mark.slow
def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    Image.fromarray(picture(48, 64)).save(tmp_path / "photo.png")
    photo, file = Picture(tmp_path / "photo.png", "photo.png"), tmp_path / "rows.jsonl"
    rows = grow(photo, file, [1])
    assert [(row["codec"], row["work"]) for row in rows] == [
        (codec, work) for codec in (PLAIN, GUIDED, "avif") for work in ("encode", "decode")
    ]
    assert all(row["processor"] > 0 and row["peak"] > 10e6 for row in rows)
    before = file.read_bytes()
    assert grow(photo, file, [1]) == rows
    assert file.read_bytes() == before
