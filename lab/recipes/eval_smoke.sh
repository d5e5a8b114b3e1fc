#!/bin/sh
# eval_smoke.sh [IMAGES [OUT]]: run cotam eval end to end with an untrained LLaVA of a few thousand parameters.
# Its accuracy means nothing.
#
# IMAGES is a folder (kodak/images in ../shared/data); OUT (results/eval_smoke) gets model, questions and results. LIMIT
# questions (6) with 5 codecs each take a minute, mostly to import torch. Needs: pip install . ./lab
set -eu

here=$(dirname "$0")
images=$(cd "${1:-$here/../../../shared/data/kodak/images}" && pwd)
out=${2:-results/eval_smoke}
python=${PYTHON:-python3}

mkdir -p "$out"
PYTHONPATH="$here/../tests${PYTHONPATH:+:$PYTHONPATH}" "$python" -c \
    'import sys, pathlib, tiny_llava; tiny_llava.write(pathlib.Path(sys.argv[1]))' "$out/model"
for image in "$images"/*; do
    printf '{"id": "%s", "image": "%s", "question": "Is there a boat?", "answers": ["no"], "metric": "yesno"}\n' \
        "$(basename "$image")" "$image"
done >"$out/questions.jsonl"
HF_HUB_OFFLINE=1 "$python" -m cotam eval "$out/questions.jsonl" -o "$out/results" --model "$out/model" --device cpu \
    --codec none --codec jpeg:q=10 --codec jpeg:q=40 --codec cotam:q=5 --codec cotam:q=20 --max-tokens 8 \
    --limit "${LIMIT:-6}"
echo "The model was never trained: its accuracy means nothing."
