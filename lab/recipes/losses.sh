#!/bin/sh
# losses.sh [PACK [FILE …]]: loss of weights and its parts over the same 48 crops, residuals rounded: a table.
#
# PACK is the pack that lab/recipes/train_codec.sh makes (runs/codec/pack); FILEs are checkpoints or weights in torch
# (lab/training/base.safetensors and mllm.safetensors). CROPS: another number. About a minute a file on one free core.
# Needs what lab/recipes/train_mllm.sh needs.
set -eu

here=$(dirname "$0")
pack=${1:-runs/codec/pack}
[ $# -gt 1 ] && shift || set -- "$here/../training/base.safetensors" "$here/../training/mllm.safetensors"
export OMP_NUM_THREADS=1
exec "${PYTHON:-python3}" -m cotam_lab.train losses "$@" --pack "$pack" --crops "${CROPS:-48}"
