"""Measure files without the paper's map and adapter, with each, with both, for `paper.sh`.

FOLDER RUN ENCODER QUALITIES LIMIT
"""

import json
import sys
from pathlib import Path

from cotam.codec.views import View
from cotam.guide.base import load
from cotam.guide.importance import to_levels
from cotam.guide.multiscale import importance
from cotam.image.read import to_rgb
from cotam_lab.bench.images import find_images
from cotam_lab.metrics.base import metric
from cotam_lab.metrics.features import KEYS
from cotam_lab.train.checkpoints import exported

folder, run, encoder = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
codec, guide = exported(str(run / "sets/paper")), load(str(run / "guide.onnx"))
assert guide
scored = metric(f"features:{encoder}")
parts: list[tuple[str, View]] = [("", "human"), ("adapter", "mllm")]
with (run / "rows.jsonl").open("w") as rows:
    for sample in find_images(folder, int(sys.argv[5])):
        pixels = to_rgb(sample.path)
        ternary = to_levels(importance(guide, pixels), pixels.shape[:2], policy="ternary")
        for quality in map(int, sys.argv[4].split(",")):
            for map_name, levels in (("", None), ("ternary map", ternary)):
                coded = codec.encode(pixels, quality, levels=levels)
                size = {"bytes": len(coded.data), "bpp": 8 * len(coded.data) / pixels[..., 0].size}
                size |= {"encode_s": 0.0, "decode_s": 0.0}
                for part, view in parts:
                    found = scored.score(pixels, codec.decode(coded, view=view), ())
                    scores = {key: found[name] for key, name in zip(KEYS, scored.keys, strict=True)}
                    name = " and ".join(filter(None, (map_name, part))) or "base"
                    row = {"codec": name, "version": codec.weights.digest.hex()[:12], "quality": quality}
                    rows.write(json.dumps(row | {"image": sample.name} | size | scores) + "\n")
