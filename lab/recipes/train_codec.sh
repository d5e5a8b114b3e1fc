#!/usr/bin/env bash
# train_codec.sh [DATA [RUN]]: train the weights of base: images, pack, training, export.
#
# DATA (../shared/data) has train/photos and train/captions; RUN is runs/codec. Run again, it continues. Settings: STEPS,
# FINE_STEPS, PROCESSES, IMAGES for the hyper context, CROPS for the tables, and START: START=lab/training/base.safetensors
# starts from the shipped set.
# Needs: pip install -c constraints.txt . ./lab. Fonts and photographs come from Debian packages.
set -euo pipefail
data=${1:-../shared/data}
run=${2:-runs/codec}
processes=${PROCESSES:-2}
mkdir -p "$run"

# 1. Images: photographs with free licences, and rendered text.
[ -d "$run/photos" ] || lab/recipes/fetch_photos.sh "$run/photos"
[ -d "$run/text" ] || python -m cotam_lab.train.text "$run/text" --count 1500 --jobs 2
[ -f "$run/pack/index.json" ] || python -m cotam_lab.train pack -o "$run/pack" \
  --hold-out photos --hold-out coco \
  "photos=$data/train/photos" "coco=$data/train/captions" "debian=$run/photos" "text=$run/text"

# 2. Training. On a CPU one thread a process and two processes beat two threads in one.
export OMP_NUM_THREADS=1
launch() { torchrun --nproc-per-node "$processes" -m cotam_lab.train codec --pack "$run/pack" "$@"; }
launch -o "$run/first" --steps "${STEPS:-300000}" ${START:+--weights "$START"}
# The last part on larger crops, the learning rate falling from a fifth to nothing, rounded residuals paid for.
launch -o "$run/fine" --steps "${FINE_STEPS:-20000}" --weights "$run/first/checkpoint.pt" \
  --size 256 --batch 4 --learning-rate 2e-4 --decay 1.0 --rounded-from 0.3

# 3. The context of the hyper latents, on whole images.
python -m cotam_lab.train hyper-context "$run/fine/checkpoint.pt" --pack "$run/pack" -o "$run/whole.pt" --images "${IMAGES:-1300}"

# 4. The weight set.
python -m cotam_lab.train export "$run/whole.pt" --pack "$run/pack" -o "$run/base" --crops "${CROPS:-400}"
echo "Now: cp $run/base/* lab/src/cotam_lab/weights/base/; cp $run/base.safetensors lab/training/; lab/recipes/golden.sh"
