"""What a run over a folder does not read, mends or makes larger is said, and is an error with --strict."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from data_sets import PHOTOS, batch, rows_of
from PIL import Image
from synthetic import picture

from cotam.datasets.conversion import Encoding
from cotam.datasets.run import find_contents
from cotam.datasets.shards import UnitConverter


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "b.jpg").write_bytes(PHOTOS[0])
    return folder


@pytest.mark.skipif(os.name != "posix", reason="files of Unix")
def test_what_is_no_file_is_left_out(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "a.jpg")
    (source / "c.jpg").symlink_to("nowhere")
    (source / "d.jpg").symlink_to("/dev/zero")
    (source / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "elsewhere").mkdir()
    (source / "folder").symlink_to(tmp_path / "elsewhere")
    (source / "link.jpg").symlink_to("b.jpg")  # to a file: read
    (source / "notes.txt").write_text("hello")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(source)  # the name of a socket is short
        listening.bind("e.jpg")
        os.chdir(before)
        result = batch(source, tmp_path / "out", "-j", 1)
        strict = batch(source, tmp_path / "strict", "-j", 1, "--strict")
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if "left out" in line] == [
        "cotam: note: a.jpg: is a named pipe: left out",
        "cotam: note: c.jpg: is a broken link: left out",
        "cotam: note: d.jpg: is a device: left out",
        "cotam: note: e.jpg: is a socket: left out",
        "cotam: note: folder: is a link to a folder: left out",
        "cotam: note: loop.jpg: is not readable (Too many levels of symbolic links): left out",
        "cotam: note: files of other kinds are left out: 1 .txt",
    ]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.cotam")) == ["b.cotam", "link.cotam"]
    assert strict.exit_code == 1
    assert "cotam: error: a.jpg: is a named pipe: left out" in strict.stderr
    assert (tmp_path / "strict/b.cotam").exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions of Unix")
def test_a_folder_that_cannot_be_read_is_a_failure() -> None:
    """As lost+found is; and so is a file in a folder that may be listed, but not entered."""
    with tempfile.TemporaryDirectory() as name:  # that any user can reach; pytest's own are closed to others
        source = Path(name)
        source.chmod(0o755)
        (source / "b.jpg").write_bytes(PHOTOS[0])
        for folder, mode in (("lost+found", 0), ("listed", 0o444)):
            (source / folder).mkdir()
            (source / folder / "a.jpg").write_bytes(PHOTOS[0])
            (source / folder).chmod(mode)
        user = os.geteuid()
        if not user:  # root may read everything, so as root be somebody else
            os.seteuid(65534)
        try:
            found = find_contents(UnitConverter(name, f"{name}/out", Encoding()))
        finally:
            os.seteuid(user)
        for folder in ("lost+found", "listed"):
            (source / folder).chmod(0o755)
    assert [unit.source for unit in found.units] == ["b.jpg"]
    errors = sorted(row.failed[0]["error"] for row in found.refused)
    assert errors == ["listed/a.jpg: Permission denied", "lost+found: Permission denied"]


def test_verbose_says_why_a_file_failed(source: Path, tmp_path: Path) -> None:
    (source / "a.jpg").write_bytes(b"")
    lines = batch(source, tmp_path / "out", "-j", 1, "-v").stderr.splitlines()
    assert lines[0] == "cotam: error: a.jpg: the file is empty"
    assert lines[1].startswith("b.jpg: 1 image, ")


def test_notes_are_listed(source: Path, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(picture(120, 160)).save(file, "JPEG", quality=95)
    (source / "cut.jpg").write_bytes(file.getvalue()[:-2])
    (source / "b.png").write_bytes(b"refused, since b.jpg has the same output")
    flat = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    Image.fromarray(picture(200, 200)).save(source / "small.avif", quality=0)
    frames = [flat.resize((40, 40)), Image.new("RGB", (40, 40), "red")]
    frames[0].save(source / "moving.gif", save_all=True, append_images=frames[1:])
    result = batch(source, tmp_path / "out", "-j", 1, "--json")
    assert result.exit_code == 1
    notes = {row["image"]: row["note"] for row in rows_of(tmp_path / "out/notes.jsonl")}
    assert "end of the file is missing" in notes["cut.jpg"]
    assert notes["small.avif"].startswith(f"grew from {(source / 'small.avif').stat().st_size} to ")
    assert f" notes on images: see {tmp_path / 'out/notes.jsonl'}" in result.stderr
    rows = {row["source"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["b.jpg"]["images"] == 1
    assert rows["cut.jpg"]["notes"][0]["note"] == notes["cut.jpg"]
    assert rows["b.png"]["failed"][0]["error"] == "b.png: would be written to b.cotam, as b.jpg is"
    strict = batch(source, tmp_path / "strict", "-j", 1, "--strict")
    assert strict.exit_code == 1
    failed = {row["image"] for row in rows_of(tmp_path / "strict/failures.jsonl")}
    assert failed == {"b.png", "cut.jpg", "small.avif", "moving.gif"}
    assert not (tmp_path / "strict/notes.jsonl").exists()


def test_other_kinds_are_counted(source: Path, tmp_path: Path) -> None:
    for name in ("x.mp4", "y.mp4", "Makefile", "manifest.jsonl", "failures.jsonl", "notes.jsonl"):
        (source / name).touch()
    found = find_contents(UnitConverter(str(source), str(tmp_path / "out"), Encoding()))
    assert found.other == {".mp4": 2, "without suffix": 1}


def test_files_that_macos_stores_beside_others_are_no_images(source: Path, tmp_path: Path) -> None:
    junk = b"\0\5\x16\7junk"
    (source / "._b.jpg").write_bytes(junk)
    with tarfile.open(source / "shard.tar", "w") as tar:
        for name, data in (("._0.jpg", junk), ("0.jpg", PHOTOS[0]), ("__MACOSX/._0.jpg", junk)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    result = batch(source, tmp_path / "out", "-j", 1)
    assert result.exit_code == 0, result.stderr
    assert "cotam: note: files of other kinds are left out: 1 ._*" in result.stderr
    assert not (tmp_path / "out/notes.jsonl").exists()
    with tarfile.open(tmp_path / "out/shard.tar") as tar:
        assert tar.getnames() == ["._0.jpg", "0.cotam", "__MACOSX/._0.jpg"]


def test_names_of_one_output_where_case_is_ignored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "B.png").write_bytes(PHOTOS[1])
    monkeypatch.setattr(os.path, "normcase", str.lower)  # as on Windows
    found = find_contents(UnitConverter(str(source), str(tmp_path / "out"), Encoding({})))
    assert [unit.source for unit in found.units] == ["B.png"]
    assert [row.failed[0]["error"] for row in found.refused] == [
        "b.jpg: would be written to b.cotam, as B.png is"
    ]
