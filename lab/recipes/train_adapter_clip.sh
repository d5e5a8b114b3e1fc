#!/usr/bin/env bash
# train_adapter_clip.sh [PACK [RUN]]: train the token adapter for CLIP ViT-L/14-336, the encoder of LLaVA-1.5.
#
# PACK is made by train_codec.sh (runs/codec/pack). For a machine with a GPU and access to the hub; run again, it
# continues. Settings: TEACHER (hub name or folder of another encoder), SET and NETWORK (weight set, and its weights in
# torch), LOSS (mllm, paper), SIZE, STEPS, BATCH. The encoder gets crops of 448 pixels at 448 or at 336, its own size.
# Needs: pip install -c constraints.txt . ./lab
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
echo "The image adapter for the same encoder: $python -m cotam_lab.train codec --part adapter --loss mllm" \
  "--teacher $teacher --pack $pack -o $run/image --weights $network"
