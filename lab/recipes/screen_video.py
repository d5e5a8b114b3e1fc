"""screen_video.py [DATA]: the screenshots of a session as a sequence, against video codecs and single images.

Prints BD-rates by features of DINOv2-S and by contrast-weighted PSNR. DATA (../shared/data) holds
screen_sequence; its screenshots of at least 1000 columns are taken, one a second, on a black ground of
1920×1080. A quarter of an hour on two busy cores.
Needs: pip install '.[video]' ./lab
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from cotam.image.read import to_rgb
from cotam_lab.bench.images import find_images
from cotam_lab.bench.video import CODECS, rows_of, table
from cotam_lab.metrics.base import Metric, metric

SIZE = 1080, 1920
CODEC_NAMES = ("cotam", "cotam no guide", "cotam one by one", "x264", "x265", "svt-av1")


def frames(data: Path) -> list[tuple[float, np.ndarray]]:
    """Return seconds and pixels, uint8 (1080, 1920, 3), of each frame."""
    found: list[tuple[float, np.ndarray]] = []
    for sample in find_images(data / "screen_sequence"):
        pixels = to_rgb(sample.path)
        height, width = pixels.shape[:2]
        if width >= 1000:
            frame = np.zeros((*SIZE, 3), np.uint8)
            frame[:height, :width] = pixels
            found.append((float(len(found)), frame))
    return found


def main(data: Path) -> None:
    features, contrast = metric("features"), metric("contrast")

    def score(*images: Any) -> dict[str, float | None]:
        return features.score(*images) | contrast.score(*images)

    both = Metric("screens", features.keys + contrast.keys, ("features", "contrast"), score)
    wanted = [(codec, setting) for codec in CODEC_NAMES for setting in CODECS[codec].settings]
    rows = rows_of("screens", frames(data), wanted, both)
    for row in rows:
        print(row["codec"], row["quality"], row["bytes"], *(f"{row[key]:.2f}" for key in both.main))
    for reference in ("x264", "cotam one by one"):
        print(table(rows, reference, both.main))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / "shared/data")
