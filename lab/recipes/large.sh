#!/bin/sh
# large.sh [IMAGE [OUT]]: processor seconds and peak memory of cotam encode (guides none and lite), cotam decode, and AVIF
# (speed 6, two threads) from 1 to 100 megapixels, measured by /usr/bin/time.
#
# IMAGE (kodak/images/kodim05.png in ../shared/data) is repeated to each size; SIZES lists megapixels. OUT (results) gets
# large.md. Fifteen minutes on two idle cores, 3 GB of memory. Needs GNU time and: pip install .
set -eu

here=$(dirname "$0")
image=${1:-$here/../../../shared/data/kodak/images/kodim05.png}
out=${2:-results}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

cost() { # COMMAND…: " SECONDS · MEGABYTES |"
    /usr/bin/time -o "$work/cost" -f '%U %S %M' "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
    awk '{ printf " %.2f · %d |", $1 + $2, $3 / 1024 }' "$work/cost"
}
{
    echo "Processor seconds · peak MB."
    echo
    echo "| megapixels | cotam encode, no guide | with lite | cotam decode | AVIF encode | AVIF decode |"
    echo "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for size in ${SIZES:-1 2 5 12 25 50 100}; do
        "$python" "$here/large.py" "$image" "$size" "$work/image.jpg"
        printf '| %s |' "$size"
        cost "$python" -m cotam encode "$work/image.jpg" -o "$work/a.cotam" --guide none
        cost "$python" -m cotam encode "$work/image.jpg" -o "$work/b.cotam" --guide lite
        cost "$python" -m cotam decode "$work/b.cotam" -o "$work/back.ppm"
        pillow="import sys; from PIL import Image; Image.MAX_IMAGE_PIXELS = None; image = Image.open(sys.argv[1])"
        cost "$python" -c "$pillow; image.save(sys.argv[2], quality=39, codec='aom', speed=6, max_threads=2)" \
            "$work/image.jpg" "$work/a.avif"
        cost "$python" -c "$pillow; image.convert('RGB').save(sys.argv[2])" "$work/a.avif" "$work/back.ppm"
        echo
    done
} | tee "$out/large.md"
