"""One file of a data set in, the same file with its images converted out."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import CODED, PHOTOS, members_of, parquet_file, tar_shard
from PIL import Image

import cotam
from cotam.datasets.conversion import Decoding, Encoding
from cotam.datasets.shards import Row, Unit, UnitConverter, output_of
from cotam.errors import InputError


def convert(folder: Path, name: str, conversion: Encoding | Decoding, **options: str) -> Row:
    unit = Unit(name, output_of(name, conversion) or "")
    return UnitConverter(str(folder / "src"), str(folder / "dst"), conversion, **options)(unit)


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
    back = UnitConverter(str(tmp_path / "src2"), str(tmp_path / "back"), Decoding())(
        Unit("shard.tar", "shard.tar")
    )
    assert back.images == 2
    image = Image.open(io.BytesIO(members_of(tmp_path / "back/shard.tar")["a/1.png"]))
    assert np.array_equal(np.asarray(image), np.asarray(cotam.decode(CODED[0])))


def test_failures_in_a_tar_shard_are_left_out(tmp_path: Path) -> None:
    members = {"1.jpg": PHOTOS[0], "2.jpg": b"none", "3.jpg": PHOTOS[2]}
    tar_shard(tmp_path / "src/s.tar", members)
    row = convert(tmp_path, "s.tar", Encoding())
    assert list(members_of(tmp_path / "dst/s.tar")) == ["1.cotam", "3.cotam"]
    assert row.failed == [
        {"image": "s.tar:2.jpg", "error": "s.tar:2.jpg: not an image of a known format"},
    ]


@pytest.mark.parametrize("name", ["s.tar", "t.parquet", "p.jpg", "q.gif"])
@pytest.mark.parametrize("data", [b"", b"PAR1 but no more", bytes(700)])
def test_a_broken_file_is_a_row_and_leaves_nothing(tmp_path: Path, name: str, data: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / name).write_bytes(data)
    row = convert(tmp_path, name, Encoding())
    assert row.output is None
    assert row.images == 0
    assert [each["image"] for each in row.failed] == [name]
    assert row.failed[0]["error"].startswith(f"{name}: ")
    assert "\n" not in row.failed[0]["error"]
    assert list((tmp_path / "dst").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "size"), [("s.tar", 700), ("s.tar", 1024), ("s.tar", 2300), ("s.tar", 3000), ("s.tar.gz", 1500)]
)
def test_a_cut_tar_shard_leaves_nothing(tmp_path: Path, name: str, size: int) -> None:
    """Within images, within the second header, and between blocks."""
    path = tar_shard(tmp_path / "src" / name, {"1.jpg": PHOTOS[0], "2.jpg": PHOTOS[1]})
    path.write_bytes(path.read_bytes()[:size])
    row = convert(tmp_path, name, Encoding())
    assert row.output is None
    assert "the tar file " in row.failed[0]["error"]
    assert list((tmp_path / "dst").iterdir()) == []


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_tar_shards_that_cat_has_joined_are_not_half_converted(tmp_path: Path, name: str) -> None:
    path = tar_shard(tmp_path / "src" / name, {"1.jpg": PHOTOS[0]})
    path.write_bytes(path.read_bytes() * 2)
    row = convert(tmp_path, name, Encoding())
    assert row.output is None
    assert row.failed[0]["error"].startswith(f"{name}: more follows the end of the tar file")


def test_a_damaged_gzip_shard_leaves_nothing(tmp_path: Path) -> None:
    """Its images may decode, but the checksum is wrong."""
    path = tar_shard(tmp_path / "src/s.tar.gz", {"1.jpg": PHOTOS[0], "2.cls": b"7" * 999})
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    row = convert(tmp_path, "s.tar.gz", Encoding())
    assert row.output is None
    assert "CRC check failed" in row.failed[0]["error"]
    assert list((tmp_path / "dst").iterdir()) == []


def sparse_member(name: str, data: bytes, size: int) -> bytes:
    """A member as ``tar --sparse`` writes it: ``data``, and a hole up to ``size``."""
    member = tarfile.TarInfo(name)
    member.type, member.size = tarfile.GNUTYPE_SPARSE, len(data)
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, len(data))
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def test_holes_of_sparse_members_are_written_as_zeros(tmp_path: Path) -> None:
    path = tmp_path / "src/s.tar"
    path.parent.mkdir()
    members = [sparse_member("1.jpg", PHOTOS[0], 9000), sparse_member("1.npy", b"123", 2000)]
    path.write_bytes(b"".join(members) + bytes(2 * tarfile.BLOCKSIZE))
    assert convert(tmp_path, "s.tar", Encoding()).failed == []
    expected = {"1.cotam": cotam.encode(PHOTOS[0]), "1.npy": b"123" + bytes(1997)}
    assert members_of(tmp_path / "dst/s.tar") == expected


@pytest.mark.parametrize(("kind", "name", "link"), [(b"1", "2.jpg", "a/1.jpg"), (b"2", "a/2.jpg", "1.jpg")])
def test_links_to_converted_members_are_failures(tmp_path: Path, kind: bytes, name: str, link: str) -> None:
    path = tar_shard(tmp_path / "src/s.tar", {"a/1.jpg": PHOTOS[0]})
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member)
    row = convert(tmp_path, "s.tar", Encoding())
    assert list(members_of(tmp_path / "dst/s.tar")) == ["a/1.cotam"]
    assert row.failed == [
        {"image": f"s.tar:{name}", "error": f"s.tar:{name}: is a link to {link}, which is converted"}
    ]


def test_a_parquet_file_there_and_back(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    images = [PHOTOS[0], b"none", None, PHOTOS[2]]
    parquet_file(tmp_path / "src/t.parquet", images, text=["a", "b", "c", "d"])
    row = convert(tmp_path, "t.parquet", Encoding())
    table = parquet.read_table(tmp_path / "dst/t.parquet")
    assert table.column_names == ["id", "image", "text"]
    assert table["image"].to_pylist() == [CODED[0], None, None, CODED[2]]
    assert table["text"].to_pylist() == ["a", "b", "c", "d"]
    assert table.schema.metadata == {b"kept": b"yes"}
    assert row.images == 2
    assert [each["error"] for each in row.failed] == [
        "t.parquet:1: not an image of a known format",
    ]
    (tmp_path / "dst").rename(tmp_path / "src2")
    work = UnitConverter(str(tmp_path / "src2"), str(tmp_path / "back"), Decoding("ppm"))
    assert work(Unit("t.parquet", "t.parquet")).images == 2
    found = parquet.read_table(tmp_path / "back/t.parquet")["image"].to_pylist()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found[3]))), np.asarray(cotam.decode(CODED[2])))


def test_images_as_hugging_face_writes_them(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet_file(tmp_path / "src/t.parquet", [{"bytes": PHOTOS[0], "path": "x.jpg"}])
    assert convert(tmp_path, "t.parquet", Encoding()).images == 1
    assert parquet.read_table(tmp_path / "dst/t.parquet")["image"].to_pylist() == [CODED[0]]


def test_a_parquet_file_with_a_damaged_name_of_a_column(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = parquet_file(tmp_path / "src/t.parquet", PHOTOS[:1], caption=["a photo"])
    path.write_bytes(path.read_bytes().replace(b"caption", b"capt\xffon"))
    row = convert(tmp_path, "t.parquet", Encoding())
    assert row.output is None
    assert row.failed[0]["error"].startswith("t.parquet: the Parquet file cannot be read: ")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    parquet_file(tmp_path / "src/t.parquet", [PHOTOS[0]])
    row = convert(tmp_path, "t.parquet", Encoding(), column="photo")
    assert row.failed[0]["error"] == "t.parquet: there is no column 'photo': choose from id, image"


def test_columns_of_one_name(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "src").mkdir()
    table = pyarrow.table([pyarrow.array([PHOTOS[0]])] * 2, names=["image", "image"])
    parquet.write_table(table, tmp_path / "src/t.parquet")
    row = convert(tmp_path, "t.parquet", Encoding())
    assert row.failed[0]["error"] == "t.parquet: there are several columns 'image'"


@pytest.mark.parametrize(("column", "kind"), [("id", "int64"), ("text", "string")])
def test_a_column_of_something_else(tmp_path: Path, column: str, kind: str) -> None:
    """Not even of names of files: those would be opened."""
    pytest.importorskip("pyarrow")
    parquet_file(tmp_path / "src/t.parquet", [PHOTOS[0]], text=[str(tmp_path / "src/t.parquet")])
    row = convert(tmp_path, "t.parquet", Encoding(), column=column)
    expected = (
        f't.parquet: column {column!r} holds {kind}: expected binary, {{"bytes": binary}}, or lists of these'
    )
    assert [each["error"] for each in row.failed] == [expected]


# Lists and nulls


def hugging_face(data: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": data, "path": path}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_column_of_lists_is_converted_element_by_element(tmp_path: Path, wrapped: bool) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def cell(data: bytes | None) -> Any:
        return hugging_face(data) if wrapped else data

    cells = [[cell(PHOTOS[0]), cell(PHOTOS[1])], [], None, [cell(None), cell(PHOTOS[2])], [cell(b"none")]]
    parquet_file(tmp_path / "src/t.parquet", cells)
    row = convert(tmp_path, "t.parquet", Encoding())
    found = parquet.read_table(tmp_path / "dst/t.parquet")["image"]
    assert found.type == pyarrow.list_(pyarrow.binary())
    assert found.to_pylist() == [[CODED[0], CODED[1]], [], None, [None, CODED[2]], [None]]
    assert row.images == 3
    assert [each["image"] for each in row.failed] == ["t.parquet:4[0]"]


@pytest.mark.parametrize(
    "kind", ["large_binary", "large_list", "fixed_size_list", "list of lists", "dictionary"]
)
def test_other_types_of_columns(tmp_path: Path, kind: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells, old, new = {
        "large_binary": ([PHOTOS[0]], pyarrow.large_binary(), pyarrow.binary()),
        "large_list": (
            [[PHOTOS[0]]],
            pyarrow.large_list(pyarrow.binary()),
            pyarrow.large_list(pyarrow.binary()),
        ),
        "fixed_size_list": (
            [[PHOTOS[0]]],
            pyarrow.list_(pyarrow.binary(), 1),
            pyarrow.list_(pyarrow.binary(), 1),
        ),
        "list of lists": (
            [[[PHOTOS[0]], []]],
            pyarrow.list_(pyarrow.list_(pyarrow.binary())),
            pyarrow.list_(pyarrow.list_(pyarrow.binary())),
        ),
        "dictionary": ([PHOTOS[0]], pyarrow.dictionary(pyarrow.int32(), pyarrow.binary()), pyarrow.binary()),
    }[kind]
    (tmp_path / "src").mkdir()
    table = pyarrow.table({"image": pyarrow.array(cells, old)})
    parquet.write_table(table, tmp_path / "src/t.parquet")
    assert convert(tmp_path, "t.parquet", Encoding()).failed == []
    found = parquet.read_table(tmp_path / "dst/t.parquet")["image"]
    assert found.type == new
    assert CODED[0] in str(found.to_pylist()).encode() or repr(CODED[0]) in repr(found.to_pylist())


def test_nulls_stay_nulls_and_are_no_failures(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet_file(tmp_path / "src/t.parquet", [hugging_face(PHOTOS[0]), None, hugging_face(None)])
    row = convert(tmp_path, "t.parquet", Encoding())
    assert parquet.read_table(tmp_path / "dst/t.parquet")["image"].to_pylist() == [CODED[0], None, None]
    assert (row.images, row.failed) == (1, [])
    parquet_file(tmp_path / "src/u.parquet", [hugging_face(PHOTOS[0]), hugging_face(None, "x.jpg")])
    (failed,) = convert(tmp_path, "u.parquet", Encoding()).failed
    assert failed["error"] == "u.parquet:1: the cell names the file 'x.jpg' and does not hold its bytes"


# Members of a sample


def tar_row(tmp_path: Path, content: dict[str, bytes], **options: Any) -> tuple[Row, dict[str, bytes]]:
    tar_shard(tmp_path / "src/s.tar", content)
    work = UnitConverter(str(tmp_path / "src"), str(tmp_path / "dst"), Encoding(), **options)
    row = work(Unit("s.tar", "s.tar"))
    return row, members_of(tmp_path / "dst/s.tar") if row.output else {}


@pytest.mark.parametrize("mask", ["0.png", "0.mask.png", "0.seg.jpg", "0.depth.tiff"])
@pytest.mark.parametrize("first", [True, False])
def test_a_mask_stays_beside_its_image(tmp_path: Path, mask: str, first: bool) -> None:
    pair = [("0.jpg", PHOTOS[0]), (mask, PHOTOS[1])]
    row, found = tar_row(tmp_path, {**dict(pair if first else pair[::-1]), "0.json": b"{}"})
    assert found == {"0.cotam": CODED[0], mask: PHOTOS[1], "0.json": b"{}"}
    assert row.failed == []
    (note,) = row.notes
    assert note["note"].startswith(f"1 image not converted, such as {mask}: masks or other views?")


def test_masks_stay_where_no_image_has_a_plain_name(tmp_path: Path) -> None:
    members = {"0.a.jpg": PHOTOS[0], "0.b.jpg": PHOTOS[1], "0.seg.png": PHOTOS[2], "1.rgb.png": PHOTOS[2]}
    masks = {"2.rgb.png": PHOTOS[0], "2.depth.png": PHOTOS[1]}
    row, found = tar_row(tmp_path, members | masks)
    coded = {"0.a.cotam": CODED[0], "0.b.cotam": CODED[1], "1.rgb.cotam": CODED[2]}
    assert found == coded | {"0.seg.png": PHOTOS[2]} | masks
    assert row.notes[0]["note"].startswith("3 images not converted, such as 0.seg.png: masks")


def test_members_to_convert_can_be_named(tmp_path: Path) -> None:
    members = {"0.jpg": PHOTOS[0], "0.left.jpg": PHOTOS[1], "0.mask.png": PHOTOS[2], "1.jpg": PHOTOS[3]}
    row, found = tar_row(tmp_path, members, members=("jpg", "left.jpg"))
    expected = {
        "0.cotam": CODED[0],
        "0.left.cotam": CODED[1],
        "0.mask.png": PHOTOS[2],
        "1.cotam": cotam.encode(PHOTOS[3]),
    }
    assert (found, row.notes) == (expected, [])
    row, found = tar_row(tmp_path, {"0.jpg": PHOTOS[0], "0.png": PHOTOS[1]}, members=("jpg", "png"))
    assert found == {"0.cotam": CODED[0], "0.png.cotam": CODED[1]}  # neither replaces the other


def test_a_name_of_members_that_no_image_has_is_noted(tmp_path: Path) -> None:
    row, found = tar_row(tmp_path, {"0.jpg": PHOTOS[0]}, members=("jpeg",))
    assert (row.images, list(found)) == (0, ["0.jpg"])
    assert row.notes[0]["note"] == "1 image not converted, such as 0.jpg: none is among --members jpeg"


def test_strict_asks_which_members_are_meant(tmp_path: Path) -> None:
    row, _ = tar_row(tmp_path, {"0.jpg": PHOTOS[0], "0.png": PHOTOS[1]}, strict=True)
    assert "--members names those to convert" in row.failed[0]["error"]


def test_a_form_that_is_not_known() -> None:
    with pytest.raises(InputError, match="form 'gif' is not known: choose from png, jpg"):
        Decoding("gif")
