"""What desktops and file(1) are told about .cotam agrees with the format."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import cotam
from cotam.format.header import MAGIC, VERSION, File, Header, write_file

SHARE = Path(cotam.__file__).parent / "share"
MIME = "{http://www.freedesktop.org/standards/shared-mime-info}"
ESCAPED = r"\x89CTM\r\n\x1a\n"


def cotam_file() -> bytes:
    header = Header(width=640, height=480, quality=37, weights=b"ab")
    return write_file(File(header, b"payload"))


def test_the_magic_is_spelled_right() -> None:
    assert ESCAPED.encode().decode("unicode_escape").encode("latin-1") == MAGIC


def test_shared_mime_info() -> None:
    kind = ElementTree.parse(SHARE / "cotam.xml").getroot().find(f"{MIME}mime-type")
    assert kind is not None
    assert kind.get("type") == "image/vnd.cotam"
    assert [glob.get("pattern") for glob in kind.iter(f"{MIME}glob")] == ["*.cotam"]
    match = kind.find(f"{MIME}magic/{MIME}match")
    assert match is not None
    assert (match.get("type"), match.get("offset"), match.get("value")) == ("string", "0", ESCAPED)


@pytest.mark.skipif(not shutil.which("update-mime-database"), reason="shared-mime-info is not installed")
def test_update_mime_database_takes_it(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    shutil.copy(SHARE / "cotam.xml", packages)
    subprocess.run(["update-mime-database", str(tmp_path)], check=True, capture_output=True)
    assert "image/vnd.cotam:*.cotam" in (tmp_path / "globs").read_text()
    assert MAGIC in (tmp_path / "magic").read_bytes()


@pytest.mark.skipif(not shutil.which("file"), reason="file(1) is not installed")
def test_file_command(tmp_path: Path) -> None:
    picture, text = tmp_path / "picture", tmp_path / "text"
    picture.write_bytes(cotam_file())
    text.write_text("CoTAM")
    command = ["file", "--brief", "-m", str(SHARE / "cotam.magic")]

    def told(*arguments: str | Path) -> str:
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        assert not done.stderr
        return done.stdout.strip()

    assert told(picture) == f"CoTAM image data, version {VERSION}, learned still, quality 37"
    assert told("--extension", picture) == "cotam"
    assert told("--mime-type", picture) == "image/vnd.cotam"
    assert "CoTAM" not in told(text)
