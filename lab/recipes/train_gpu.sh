#!/usr/bin/env bash
# train_gpu.sh [RUN]: train the codec on one GPU, from the weights in lab/training and at most 50 MB of data. RUN (runs/gpu)
# gets weights and log; run again, it continues.
#
# First make the data, where the images are (TILES defaults to RUN/tiles.npz):
#   cotam train tiles -o RUN/tiles.npz --hold-out photos … photos=FOLDER screens=FOLDER text=FOLDER
# Settings: TILES, START, STEPS, BATCH, MINUTES (of each stage). To rehearse on a CPU:
#   STEPS=4 FINE_STEPS=2 BATCH=2 FINE_BATCH=2 SIZE=128 FINE_SIZE=192 LOG_EVERY=2 lab/recipes/train_gpu.sh /tmp/rehearsal
set -euo pipefail
run=${1:-runs/gpu}
tiles=${TILES:-$run/tiles.npz}
start=${START:-lab/training/base.safetensors}
mkdir -p "$run"
device() {
  python -m cotam_lab.train codec --tiles "$tiles" --log-every "${LOG_EVERY:-100}" \
    ${MINUTES:+--minutes "$MINUTES"} "$@"
}
# DCVC's schedule: 256² at a high rate, falling; then larger crops, restarting high and falling to nothing.
device -o "$run/first" --weights "$start" --size "${SIZE:-256}" --batch "${BATCH:-64}" \
  --steps "${STEPS:-16000}" --learning-rate 6e-4 --decay 0.5 --rounded-from 1.0
device -o "$run/fine" --weights "$run/first/checkpoint.pt" --size "${FINE_SIZE:-512}" --batch "${FINE_BATCH:-16}" \
  --steps "${FINE_STEPS:-6000}" --learning-rate 3e-4 --decay 1.0 --rounded-from 0.3
tail -n 1 "$run"/first/log.jsonl "$run"/fine/log.jsonl
