"""Clips that are given up in the middle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from clips import clip, still_scene
from PIL import Image

import cotam

pytest.importorskip("av")

LEAVE = """
import io, sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from cotam.image.video import Clip
data = sys.stdin.buffer.read()

def leave(number):
    with closing(Clip(io.BytesIO(data), "a clip")) as clip:
        for _, pixels in clip.frames():
            return pixels().shape

with ThreadPoolExecutor(4) as pool:
    print(set(pool.map(leave, range(60))))
"""


def test_clips_that_are_left_in_the_middle_do_not_hang() -> None:
    """The decoder's threads are at work then. Before it was mended this hung now and then, not each time."""
    data = clip(still_scene(30, (64, 96)), [number / 10 for number in range(30)])
    result = subprocess.run([sys.executable, "-c", LEAVE], input=data, capture_output=True)
    assert result.stdout.decode() == "{(64, 96, 3)}\n", result.stderr.decode()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # fails as a full disk does
from cotam.cli.main import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_an_mp4_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in still_scene(12, (96, 128), noise=40)]
    (tmp_path / "clip.cotam").write_bytes(b"".join(cotam.encode_frames(enumerate(frames), quality=80)))
    command = [sys.executable, "-c", LIMITED, "decode", "clip.cotam", "-o", "clip.mp4"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.stderr == "cotam: error: clip.mp4: cannot be written: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["clip.cotam"]
