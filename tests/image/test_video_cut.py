"""Videos whose end is missing: one note, with the number of missing frames if the file states them."""

from __future__ import annotations

import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from clips import clip, moving_scene, with_index_first

from cotam.cli.main import main
from cotam.errors import InputError
from cotam.image.sampling import read_clip
from cotam.image.video import Clip

pytest.importorskip("av")

FRAMES = moving_scene(40, (96, 128))
TIMES = [number / 10 for number in range(40)]
CODECS = {
    "h264": {"codec": "libx264", "bf": "0"},
    "h264 with b-frames": {"codec": "libx264", "bf": "2", "g": "20", "preset": "medium"},
    "mpeg4": {"codec": "mpeg4"},
    "vp9": {"codec": "libvpx-vp9"},
}


def seen(data: bytes) -> tuple[int, list[str]]:
    """Number of frames, and notes."""
    notes: list[str] = []
    with closing(Clip(io.BytesIO(data), "clip")) as opened:
        count = sum(1 for _ in read_clip(opened, note=notes.append))
    return count, notes


def made(codec: str, form: str = "mp4") -> bytes:
    return clip(FRAMES, TIMES, form, rate=10, pixels="yuv420p", **CODECS[codec])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_mp4_counts_its_missing_frames_once(codec: str, share: float) -> None:
    data = with_index_first(made(codec))
    assert seen(data) == (40, [])
    count, notes = seen(data[: int(len(data) * share)])
    assert notes == [f"the file is cut: {40 - count} of 40 frames are missing at its end"]


@pytest.mark.parametrize("form", ["flv", "matroska", "mpegts"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_other_cut_files_say_so_once(form: str, share: float) -> None:
    data = made("h264", form)
    (note,) = seen(data[: int(len(data) * share)])[1]
    assert re.fullmatch(r"the file is cut: at least \d+ bytes are missing at its end", note)


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_damage_before_the_cut_is_noted_too(codec: str) -> None:
    data = bytearray(with_index_first(made(codec)))
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    notes = seen(bytes(data[: len(data) * 9 // 10]))[1]
    assert notes[0].startswith("the file is cut: ")
    assert any("damaged" in note for note in notes[1:])


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_an_mp4_in_a_pipe_needs_its_index_in_front() -> None:
    data = made("h264")
    message = r"index is not in front cannot come through a pipe: give the file"
    with closing(Clip(Pipe(data), "clip")) as opened, pytest.raises(InputError, match=message):
        list(read_clip(opened))
    with closing(Clip(Pipe(with_index_first(data)), "clip")) as opened:
        assert len(list(read_clip(opened))) == len(FRAMES)


@pytest.mark.parametrize("missing", [1, 100, 187])
def test_a_cut_broadcast_from_a_pipe_says_so(missing: int) -> None:
    data = made("h264", "mpegts")
    start = len(data) // 2 // 188 * 188
    notes: list[str] = []
    with closing(Clip(Pipe(data[: start + 188 - missing]), "clip")) as opened:
        list(read_clip(opened, note=notes.append))
    assert notes == seen(data[: start + 188 - missing])[1]
    bytes_are = "1 byte is" if missing == 1 else f"{missing} bytes are"
    assert notes == [f"the file is cut: at least {bytes_are} missing at its end"]
    with closing(Clip(Pipe(data), "clip")) as opened:
        list(read_clip(opened, note=notes.append))
    assert len(notes) == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes")
def test_a_cut_broadcast_in_a_named_pipe_is_called_cut(tmp_path: Path) -> None:
    data = made("h264", "mpegts")
    os.mkfifo(tmp_path / "pipe.ts")
    with ThreadPoolExecutor(1) as pool:
        pool.submit((tmp_path / "pipe.ts").write_bytes, data[:-100])
        result = CliRunner().invoke(main, ["encode", str(tmp_path / "pipe.ts")])
    name = tmp_path / "pipe.ts"
    message = f"cotam: note: {name}: the file is cut: at least 100 bytes are missing at its end\n"
    assert (result.exit_code, result.stderr) == (0, message)
