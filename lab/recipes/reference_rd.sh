#!/bin/sh
# reference_rd.sh [MODEL [DATA [OUT]]]: accuracy of the reference model against bytes, for all codecs.
#
# MODEL is made by train_reference.sh (runs/reference/reference.safetensors). DATA (../shared/data) holds train, from whose
# held-out part questions are made. OUT (results/reference) gets questions/, and for the synthetic and the real ones
# rows.jsonl, summary.md with BD-rates, and curves. 1,000 questions with 31 codecs and qualities.
# Settings: LIMIT questions of each file; ADAPTER, a token adapter; DEVICE, as torch names it. Run again, it continues.
# Needs what train_reference.sh needs.
set -eu

here=$(dirname "$0")
model=${1:-runs/reference/reference.safetensors}
data=${2:-$here/../../../shared/data}
out=${3:-results/reference}
python=${PYTHON:-python3}

[ -e "$out/questions/README.md" ] || "$python" -m cotam_lab.train reference questions "$data" -o "$out/questions"
set -- --model "$model" --codec none --codec cotam:profile=base,guide=none,view=human@0,8,17,28,40 --codec cotam@0,8,17,28,40
for codec in jpeg@2,5,10,20,40 webp@0,5,15,30,55 avif@1,6,13,21,30; do
    set -- "$@" --codec "$codec"
done
set -- "$@" --tokens "${ADAPTER:-$here/../training/tokens_dinov2s.safetensors}" --reference cotam:profile=base,guide=none,view=human
[ -z "${LIMIT:-}" ] || set -- "$@" --limit "$LIMIT"
[ -z "${DEVICE:-}" ] || set -- "$@" --device "$DEVICE"
for file in synthetic real; do
    "$python" -m cotam eval "$out/questions/$file.jsonl" -o "$out/$file" "$@"
done
