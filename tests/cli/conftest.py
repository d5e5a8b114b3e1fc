"""The working folder of a command."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CODED, PIXELS
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an image and a coded one."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("photo.png")
    Path("coded.cotam").write_bytes(CODED)
    return tmp_path
