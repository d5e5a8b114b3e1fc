#!/bin/sh
# frozen_base.sh [DATA [OUT]]: rate of mllm without guide against the float set base 28dd65d4332d of commit 21da0bb, which
# codes and decodes in a worktree of its own (view human, no guide). Today's metrics score both.
#
# DATA (../shared/data) holds kodak; OUT (results/frozen_base) gets rows.jsonl, table.md and the decoded images. LIMIT is a
# number of images. 384 rows, one to two seconds of a core each. Needs what mllm_rd.sh needs, and git.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-$here/../shared/data}
out=${2:-results/frozen_base}
python=${PYTHON:-python3}
qualities=0,8,17,26,35,44,54,64
old=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$old/21da0bb"; rmdir "$old"' EXIT
git -C "$here" worktree add -q --detach "$old/21da0bb" 21da0bb

rm -f "$out/rows.jsonl"
"$python" -m cotam bench sweep "$data/kodak" -o "$out" --metric features --metric class --log-rate \
    --codec "cotam:profile=mllm,guide=none@$qualities" ${LIMIT:+--limit "$LIMIT"}

PYTHONPATH=$old/21da0bb/src "$python" "$here/lab/recipes/frozen_base_code.py" "$out" "$data/kodak" "$qualities"

"$python" "$here/lab/recipes/frozen_base_score.py" "$out" "$data/kodak"
"$python" -m cotam bench report "$out" -o "$out/table.md" --reference "frozen base" --score features \
    --score shallow --score middle --score late --score deep --score attended --score whole --score class_overlap
