#!/bin/sh
# losses.sh [PACK [FILE …]]: table of loss terms of several weights on the same 48 crops, with rounded residuals.
#
# PACK is the pack made by lab/recipes/train_codec.sh (runs/codec/pack); FILEs are checkpoints or weights in torch
# (lab/training/base.safetensors and mllm.safetensors). CROPS is another number. A minute per file on one free core.
# Needs what train_mllm.sh needs.
set -eu

here=$(dirname "$0")
pack=${1:-runs/codec/pack}
[ $# -gt 1 ] && shift || set -- "$here/../training/base.safetensors" "$here/../training/mllm.safetensors"
export OMP_NUM_THREADS=1
exec "${PYTHON:-python3}" -m cotam_lab.train losses "$@" --pack "$pack" --crops "${CROPS:-48}"
