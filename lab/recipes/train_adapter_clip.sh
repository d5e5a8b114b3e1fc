#!/usr/bin/env bash
# Train the token adapter for a vision encoder: CLIP ViT-L/14-336, that of LLaVA-1.5, unless TEACHER says otherwise.
#   lab/recipes/train_adapter_clip.sh [PACK] [RUN]        PACK is what lab/recipes/train_codec.sh made of pictures
# For a machine with a GPU and access to the hub. Stop it at any time; the same command goes on.
# Settings: TEACHER (hub name, or folder), SET and NETWORK (weight set, and its weights in torch), LOSS (mllm, paper),
# SIZE, STEPS, BATCH. Crops of 448 pixels are seen at 448 and at 336, the encoder's own size, by turns.
# Needs: pip install -c constraints.txt . ./lab.
set -euo pipefail
pack=${1:-runs/codec/pack}
run=${2:-runs/clip}
python=${PYTHON:-python3}
teacher=${TEACHER:-openai/clip-vit-large-patch14-336}
network=${NETWORK:-lab/training/mllm.safetensors}

"$python" -m cotam_lab.train tokens --pack "$pack" -o "$run/tokens" --network "$network" --set "${SET:-mllm}" \
  --teacher "$teacher" --loss "${LOSS:-mllm}" --ratio 4 --size "${SIZE:-448}" --steps "${STEPS:-50000}" \
  --batch "${BATCH:-16}"

echo "Use it: cotam_lab.llava.attach(model, \"$run/tokens/adapter.safetensors\")"
echo "The picture adapter, for the same encoder: $python -m cotam_lab.train codec --part adapter --loss mllm" \
  "--teacher $teacher --pack $pack -o $run/picture --weights $network"
