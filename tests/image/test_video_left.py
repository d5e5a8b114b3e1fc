"""Clips that are given up in the middle."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clips import clip, still_scene

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
    result = subprocess.run([sys.executable, "-c", LEAVE], input=data, capture_output=True, timeout=240)
    assert result.stdout.decode() == "{(64, 96, 3)}\n", result.stderr.decode()
