"""One file of a data set in, the same file with its pictures converted out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from data_sets import PHOTOS, members_of, parquet_file, tar_shard
from PIL import Image

import cotam
from cotam.datasets.conversion import Decoding, Encoding
from cotam.datasets.shards import Row, Unit, Work, output_of
from cotam.errors import InputError

CODED = [cotam.encode(photo) for photo in PHOTOS[:3]]


def convert(folder: Path, name: str, conversion: Encoding | Decoding, **options: str) -> Row:
    unit = Unit(name, output_of(name, conversion) or "")
    return Work(str(folder / "src"), str(folder / "dst"), conversion, **options)(unit)


@pytest.mark.parametrize(
    ("source", "encoded", "decoded"),
    [
        ("a/b.x.JPG", "a/b.x.cotam", None),
        ("a/b.cotam", None, "a/b.webp"),
        ("a.parquet", "a.parquet", "a.parquet"),
        ("a/b.tar", "a/b.tar", "a/b.tar"),
        ("a/b.tar.gz", "a/b.tar", "a/b.tar"),
        ("b.TGZ", "b.tar", "b.tar"),
        ("notes.txt", None, None),
        ("tar", None, None),
    ],
)
def test_names(source: str, encoded: str | None, decoded: str | None) -> None:
    assert output_of(source, Encoding()) == encoded
    assert output_of(source, Decoding("webp")) == decoded


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_a_tar_shard_there_and_back(tmp_path: Path, name: str) -> None:
    members = {"a/1.jpg": PHOTOS[0], "a/1.json": b"{}", "2.left.jpg": PHOTOS[1], "2.cls": b"7"}
    tar_shard(tmp_path / "src" / name, members)
    row = convert(tmp_path, name, Encoding({"quality": 50}))
    sizes = len(PHOTOS[0]) + len(PHOTOS[1]), len(CODED[0]) + len(CODED[1])
    assert row == Row(name, "shard.tar", 2, *sizes)
    found = members_of(tmp_path / "dst/shard.tar")
    expected = {"a/1.cotam": CODED[0], "a/1.json": b"{}", "2.left.cotam": CODED[1], "2.cls": b"7"}
    assert found == expected
    assert list(found) == list(expected)  # samples of WebDataset are members in a row

    (tmp_path / "dst").rename(tmp_path / "src2")
    back = Work(str(tmp_path / "src2"), str(tmp_path / "back"), Decoding())(Unit("shard.tar", "shard.tar"))
    assert back.pictures == 2
    image = Image.open(io.BytesIO(members_of(tmp_path / "back/shard.tar")["a/1.png"]))
    assert np.array_equal(np.asarray(image), np.asarray(cotam.decode(CODED[0])))


def test_failures_in_a_tar_shard_are_left_out(tmp_path: Path) -> None:
    members = {"1.jpg": PHOTOS[0], "1.png": PHOTOS[1], "2.jpg": b"none", "3.jpg": PHOTOS[2]}
    tar_shard(tmp_path / "src/s.tar", members)
    row = convert(tmp_path, "s.tar", Encoding())
    assert list(members_of(tmp_path / "dst/s.tar")) == ["1.cotam", "3.cotam"]
    assert row.failed == [
        {"picture": "s.tar:1.png", "error": "s.tar:1.png: would be a second 1.cotam"},
        {"picture": "s.tar:2.jpg", "error": "s.tar:2.jpg: 4 bytes: not an image of a known format"},
    ]


@pytest.mark.parametrize("name", ["s.tar", "t.parquet", "p.jpg", "q.gif"])
@pytest.mark.parametrize("data", [b"", b"PAR1 but no more", bytes(700)])
def test_a_broken_file_is_a_row_and_leaves_nothing(tmp_path: Path, name: str, data: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / name).write_bytes(data)
    row = convert(tmp_path, name, Encoding())
    assert row.output is None
    assert row.pictures == 0
    assert [each["picture"] for each in row.failed] == [name]
    assert row.failed[0]["error"].startswith(f"{name}: ")
    assert "\n" not in row.failed[0]["error"]
    assert list((tmp_path / "dst").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "size"), [("s.tar", 700), ("s.tar", 1024), ("s.tar", 2300), ("s.tar", 3000), ("s.tar.gz", 1500)]
)
def test_a_cut_tar_shard_leaves_nothing(tmp_path: Path, name: str, size: int) -> None:
    """Within pictures, within the second header, and between blocks."""
    path = tar_shard(tmp_path / "src" / name, {"1.jpg": PHOTOS[0], "2.jpg": PHOTOS[1]})
    path.write_bytes(path.read_bytes()[:size])
    row = convert(tmp_path, name, Encoding())
    assert row.output is None
    assert "the tar file " in row.failed[0]["error"]
    assert list((tmp_path / "dst").iterdir()) == []


def test_a_parquet_file_there_and_back(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    pictures = [PHOTOS[0], b"none", None, PHOTOS[2]]
    parquet_file(tmp_path / "src/t.parquet", pictures, text=["a", "b", "c", "d"])
    row = convert(tmp_path, "t.parquet", Encoding())
    table = parquet.read_table(tmp_path / "dst/t.parquet")
    assert table.column_names == ["id", "image", "text"]
    assert table["image"].to_pylist() == [CODED[0], None, None, CODED[2]]
    assert table["text"].to_pylist() == ["a", "b", "c", "d"]
    assert table.schema.metadata == {b"kept": b"yes"}
    assert row.pictures == 2
    assert [each["error"] for each in row.failed] == [
        "t.parquet:1: 4 bytes: not an image of a known format",
        "t.parquet:2: there is no picture here",
    ]
    (tmp_path / "dst").rename(tmp_path / "src2")
    work = Work(str(tmp_path / "src2"), str(tmp_path / "back"), Decoding("ppm"))
    assert work(Unit("t.parquet", "t.parquet")).pictures == 2
    found = parquet.read_table(tmp_path / "back/t.parquet")["image"].to_pylist()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found[3]))), np.asarray(cotam.decode(CODED[2])))


def test_pictures_as_hugging_face_writes_them(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet_file(tmp_path / "src/t.parquet", [{"bytes": PHOTOS[0], "path": "x.jpg"}])
    assert convert(tmp_path, "t.parquet", Encoding()).pictures == 1
    assert parquet.read_table(tmp_path / "dst/t.parquet")["image"].to_pylist() == [CODED[0]]


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    parquet_file(tmp_path / "src/t.parquet", [PHOTOS[0]])
    row = convert(tmp_path, "t.parquet", Encoding(), column="photo")
    assert row.failed[0]["error"] == "t.parquet: there is no column 'photo' here, but: id, image"


@pytest.mark.parametrize(("column", "kind"), [("id", "int"), ("text", "str")])
def test_a_column_of_something_else(tmp_path: Path, column: str, kind: str) -> None:
    """Not even of names of files: those would be opened."""
    pytest.importorskip("pyarrow")
    parquet_file(tmp_path / "src/t.parquet", [PHOTOS[0]], text=[str(tmp_path / "src/t.parquet")])
    row = convert(tmp_path, "t.parquet", Encoding(), column=column)
    assert [each["error"] for each in row.failed] == [
        f"t.parquet:0: a picture is bytes or an array, not {kind}"
    ]


def test_a_form_that_is_not_known() -> None:
    with pytest.raises(InputError, match="form 'gif' is not known; there is: png, jpg"):
        Decoding("gif")
