"""What time and memory cost is measured where it is spent."""

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cotam.errors import CotamError
from cotam.image import baselines
from cotam_lab.bench import speed


def test_peak_is_that_of_the_command_alone() -> None:
    ballast = np.ones(300_000_000, np.uint8)  # in this process, which must not count
    small = speed.process_cost([sys.executable, "-S", "-c", "pass"])
    large = speed.process_cost([sys.executable, "-S", "-c", "x = b'1' * 100_000_000"])
    assert small.peak < 50e6 < ballast.nbytes
    assert 95e6 < large.peak - small.peak < 115e6
    assert 0 < small.seconds < 60


def test_waiting_takes_no_processor_time() -> None:
    waiting = "import time; time.sleep(1)"
    working = "import time\nwhile time.process_time() < 1: pass"
    idle, busy = (speed.process_cost([sys.executable, "-S", "-c", work]) for work in (waiting, working))
    assert idle.seconds >= 1 > 0.5 > idle.processor
    assert busy.seconds * 1.01 >= busy.processor >= 1


def test_failing_command_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CotamError, match="exit code 3"):
        speed.process_cost([sys.executable, "-S", "-c", "raise SystemExit(3)"])


def test_setting_is_nearest_in_rate() -> None:
    pixels = np.random.default_rng(0).integers(100, 140, (64, 64, 3), dtype=np.uint8)
    codec = baselines.codec("webp")
    low, high = (speed.setting_near(codec, pixels, bpp) for bpp in (0.001, 99))
    assert (low.quality, high.quality) == (codec.qualities[0], codec.qualities[-1])
    assert low.data == codec.encode(pixels, low.quality)


def test_mosaic_has_the_size_asked_for() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    large = speed.mosaic(pixels, 0.0015)
    assert large.shape == (32, 48, 3)
    assert np.array_equal(large[10:15, 14:21], pixels)


def test_median_leaves_the_first_round_out() -> None:
    counts = [0, 0]

    def work(place: int) -> None:
        counts[place] += 1

    times = speed.timed([lambda: work(0), lambda: work(1)], rounds=3)
    assert counts == [4, 4]
    assert all(0 <= value < 1 for value in times)


def test_ratios_are_to_the_first() -> None:
    assert speed._ratios([0.5, 0.25, 1.0], 1e3) == ["500", "250 (0.50×)", "1000 (2.00×)"]


@pytest.mark.slow
def test_table_of_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "CODECS", ("avif", "webp"))
    Image.effect_noise((96, 64), 40).save(tmp_path / "noise.png")
    arguments = [
        str(tmp_path / "noise.png"),
        "--rounds",
        "1",
        "--megapixels",
        "1",
        "-o",
        str(tmp_path / "t.md"),
    ]
    result = CliRunner().invoke(speed.speed, arguments)
    assert result.exit_code == 0, result.output
    assert "| 1 MP: encode, peak MB |" in result.stdout
    assert (tmp_path / "t.md").read_text("utf-8") in result.stdout
