"""What another run on the same target folder converts: sources that are new or have changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from data_sets import PHOTOS, batch, folder_of_images, here, members_of, rows_of, tar_shard

import cotam
from cotam.datasets.conversion import Encoding
from cotam.datasets.run import run
from cotam.datasets.shards import Row, Unit, UnitConverter

LONG_AGO = 1_600_000_000


def test_another_source_with_equal_names_is_converted(tmp_path: Path) -> None:
    for name, data in (("old", PHOTOS[:2]), ("new", PHOTOS[2:6])):
        for number in range(2):
            members = {f"{at}.jpg": each for at, each in enumerate(data[number::2])}
            tar_shard(tmp_path / name / f"0000{number}.tar", members)
            os.utime(tmp_path / "old" / f"0000{number}.tar", (LONG_AGO, LONG_AGO))
    assert batch(tmp_path / "old", tmp_path / "out").exit_code == 0
    result = batch(tmp_path / "new", tmp_path / "out")
    assert result.exit_code == 0
    again = "converted again: 2 files with another size or time than when converted before, such as 00000.tar"
    assert f"note: {again}\n" in result.output
    assert "done before" not in result.output
    found = members_of(tmp_path / "out/00001.tar")
    assert found == {"0.cotam": cotam.encode(PHOTOS[3]), "1.cotam": cotam.encode(PHOTOS[5])}
    assert "done before: 2 of 2 files" in batch(tmp_path / "new", tmp_path / "out").output


def test_a_later_source_of_the_same_size_is_converted(tmp_path: Path) -> None:
    source = tmp_path / "src/s.tar"
    tar_shard(source, {"1.jpg": PHOTOS[0]})
    os.utime(source, (LONG_AGO, LONG_AGO))
    work = UnitConverter(str(source.parent), str(tmp_path / "out"), Encoding())
    size = source.stat().st_size
    run(work, here)
    tar_shard(source, {"1.jpg": PHOTOS[1]})
    assert source.stat().st_size == size
    assert run(work, here).images == 1
    assert members_of(tmp_path / "out/s.tar") == {"1.cotam": cotam.encode(PHOTOS[1])}


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_source_is_not_converted_again(tmp_path: Path, move: object) -> None:
    source = folder_of_images(tmp_path / "src")
    (source / "a/broken.png").unlink()
    assert batch(source, tmp_path / "out").exit_code == 0
    assert callable(move)
    move(source, tmp_path / "elsewhere")
    result = batch(tmp_path / "elsewhere", tmp_path / "out")
    assert "done before: 8 of 8 files" in result.output
    assert "again" not in result.output


def test_a_changed_source_that_fails_has_no_output(tmp_path: Path) -> None:
    source = folder_of_images(tmp_path / "src")
    batch(source, tmp_path / "out")
    (source / "a/1.jpg").write_bytes(b"none")
    result = batch(source, tmp_path / "out")
    assert result.exit_code == 1
    assert "converted again: 1 file with another size" in result.output
    assert not (tmp_path / "out/a/1.cotam").exists()
    manifest = rows_of(tmp_path / "out/manifest.jsonl")[1:]
    assert "a/1.jpg" not in {row["source"] for row in manifest}


def test_an_interrupted_run_leaves_outputs_of_changed_sources(tmp_path: Path) -> None:
    source = folder_of_images(tmp_path / "src")
    work = UnitConverter(str(source), str(tmp_path / "out"), Encoding())
    run(work, here)
    for name in ("a/1.jpg", "a/4.jpg"):
        os.utime(source / name, (LONG_AGO, LONG_AGO))

    def one(work: UnitConverter, units: Sequence[Unit]) -> Generator[Row]:
        yield work(next(unit for unit in units if unit.source == "a/1.jpg"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(work, one)
    assert (tmp_path / "out/a/4.cotam").exists()
    assert run(work, here).images == 1
