"""Times are medians of alternating calls; settings are chosen by rate."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from cotam_lab.bench import baselines, speed
from cotam_lab.bench.cli import bench


def test_setting_is_nearest_in_rate() -> None:
    pixels = np.random.default_rng(0).integers(100, 140, (64, 64, 3), dtype=np.uint8)
    codec = baselines.codec("webp")
    low, high = (speed.setting_near(codec, pixels, bpp) for bpp in (0.001, 99))
    assert (low.quality, high.quality) == (codec.qualities[0], codec.qualities[-1])
    assert low.data == codec.encode(pixels, low.quality)


def test_median_leaves_the_first_round_out() -> None:
    counts = [0, 0]

    def work(place: int) -> None:
        counts[place] += 1

    times = speed.timed([lambda: work(0), lambda: work(1)], rounds=3)
    assert counts == [4, 4]
    assert all(0 <= value < 1 for value in times)


def test_ratios_are_to_the_first() -> None:
    assert speed._ratios([0.5, 0.25, 1.0], 1e3) == ["500", "250 (0.50×)", "1000 (2.00×)"]


def test_table_has_all_codecs(tmp_path: Path) -> None:
    Image.effect_noise((96, 64), 40).save(tmp_path / "noise.png")
    arguments = ["speed", str(tmp_path / "noise.png"), "--rounds", "1", "-o", str(tmp_path / "t.md")]
    result = CliRunner().invoke(bench, arguments)
    assert result.exit_code == 0, result.output
    assert [line.split(" | ")[0] for line in result.stdout.splitlines()[2:]] == [
        "| 96×64",
        "| ---",
        "| bpp",
        "| encode, ms",
        "| decode, ms",
        "",
    ]
    assert (tmp_path / "t.md").read_text("utf-8") in result.stdout
