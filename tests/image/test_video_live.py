"""Live sources on the command line: frames come out as they go in, and Ctrl-C keeps what came."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from clips import still_scene

import cotam
from cotam.errors import CotamError

pytest.importorskip("av")

FRAMES = still_scene(6, (96, 128))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


def test_live_from_pipe_to_pipe_without_delay() -> None:
    """The bytes of a frame come out before the next one goes in."""
    arguments = ["encode", "-", "--frames", "raw:128x96@2", "-o", "-", "--low-delay"]
    command, pipe = [sys.executable, "-m", "cotam", *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        class Fed(io.RawIOBase):
            def read(self, count: int = -1) -> bytes:
                return process.stdout.read1(count)  # type: ignore[union-attr]

        # One ahead: what is seen at a time is known when the next frame is there.
        process.stdin.write(FRAMES[0].tobytes() + FRAMES[1].tobytes())
        process.stdin.flush()
        found = cotam.decode_frames(Fed())  # type: ignore[arg-type]
        assert next(found)[0] == 0
        for number, frame in enumerate(FRAMES[2:], 1):
            process.stdin.write(frame.tobytes())
            process.stdin.flush()
            assert next(found)[0] == number / 2
        process.stdin.close()
        assert [seconds for seconds, _ in found] == [2.5]


def has_frame(file: Path) -> bool:
    """Whether a sequence that is being written has its first frame."""
    with suppress(CotamError):
        return next(cotam.decode_frames(file.read_bytes()), None) is not None
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_ends_a_live_source_and_keeps_what_it_gave() -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from cotam.cli.main import main; main()"
    arguments = ["encode", "-", "--frames", "raw:128x96@2", "-o", "live.cotam", "--low-delay", "-v"]
    command, pipe = [sys.executable, "-c", code, *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(frame.tobytes() for frame in FRAMES[:3]))
        process.stdin.flush()
        while not any(map(has_frame, Path().iterdir())):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    found = len(list(cotam.decode_frames(Path("live.cotam").read_bytes())))
    assert f" {found} frames".encode() in said
    assert 1 <= found <= 3
