"""A clip repeated is as long as asked for and shows the same frames again."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

import av
from click.testing import CliRunner
from clips import clip, still_scene

from cotam_lab.bench.long_clip import main, repeat_clip


def frames_of(file: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(file)) as container:
        found = [(frame.to_ndarray(format="gray"), frame.time) for frame in container.decode(video=0)]
    return [pixels for pixels, _ in found], [time for _, time in found]


@pytest.fixture
def short(tmp_path: Path) -> Path:
    file = tmp_path / "short.mp4"
    file.write_bytes(clip(still_scene(4), [0, 0.5, 1, 1.5]))
    return file


def test_a_clip_goes_on_as_it_began(short: Path, tmp_path: Path) -> None:
    repeat_clip(short, 5, tmp_path / "long.mp4")
    once, _ = frames_of(short)
    pixels, times = frames_of(tmp_path / "long.mp4")
    assert len(pixels) % 4 == 0
    assert times == sorted(set(times))
    assert 4.5 <= times[-1] < 7
    for number, frame in enumerate(pixels):
        assert np.array_equal(frame, once[number % 4])


def test_the_table_has_a_line_for_each_length(short: Path, tmp_path: Path) -> None:
    arguments = [str(short), "--minutes", "0.05", "--minutes", "0.1", "-o", str(tmp_path / "table.md")]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    *_, first, second = (tmp_path / "table.md").read_text("utf-8").splitlines()
    (length, _, _, _, peak), (other, *_) = (
        [cell.strip() for cell in one.strip("| ").split("|")] for one in (first, second)
    )
    assert (length, other) == ("0.05", "0.1")
    assert 30 < float(peak) < 1000
