"""Score the images of `frozen_base_code.py` with today's metrics: OUT FOLDER."""

import json
import sys
from pathlib import Path

from cotam.image.read import to_rgb
from cotam_lab.metrics.base import metric

out, folder = Path(sys.argv[1]), Path(sys.argv[2])
with (out / "rows.jsonl").open("a") as rows:
    for name, quality, size, decoded in json.loads((out / "sizes.json").read_text()):
        original = to_rgb(folder / name)
        height, width = original.shape[:2]
        row = {"codec": "frozen base", "version": "28dd65d4332d", "quality": quality, "image": name}
        row |= {"width": width, "height": height, "bytes": size, "bpp": 8 * size / height / width}
        row |= {"encode_s": 0.0, "decode_s": 0.0}
        for scored in map(metric, ("features", "class")):
            row |= scored.score(original, to_rgb(out / decoded), ())
        rows.write(json.dumps(row) + "\n")
