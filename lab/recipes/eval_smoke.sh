#!/bin/sh
# eval_smoke.sh [DATA [OUT]]: cotam eval from end to end, with a model of a few thousand parameters from a seed.
#
# ITS ACCURACY MEANS NOTHING: the model was never trained, and the summary says so. What it shows is that questions
# are imported, images coded, answers scored and gathered. DATA holds the pack charts (../shared/data), OUT gets
# the model, the questions and a folder of results (results/eval_smoke). LIMIT questions (6), each after 5 ways of
# coding; about a minute, most of it to import torch. Run again, it asks nothing a second time.
# Needs: pip install . ./lab.
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
out=${2:-results/eval_smoke}
python=${PYTHON:-python3}

mkdir -p "$out"
PYTHONPATH="$here/../tests${PYTHONPATH:+:$PYTHONPATH}" "$python" -c \
    'import sys, pathlib, tiny_llava; tiny_llava.write(pathlib.Path(sys.argv[1]))' "$out/model"
"$python" -m cotam eval import pack "$data/charts" -o "$out/questions.jsonl"
HF_HUB_OFFLINE=1 "$python" -m cotam eval "$out/questions.jsonl" -o "$out/results" --model "$out/model" --device cpu \
    --codec none --codec jpeg:q=10 --codec jpeg:q=40 --codec cotam:q=5 --codec cotam:q=20 --max-tokens 8 \
    --limit "${LIMIT:-6}"
echo "The model was never trained: its accuracy means nothing."
