#!/bin/sh
# large.sh [DATA [OUT]]: processor time and peak memory of cotam (guide none and lite) and of AVIF (speed 6) from 1
# to 100 megapixels, and what part of a large picture's file the guide's map is.
#
# DATA holds the folder highres (../shared/data if not given), of which one picture, reduced to a megapixel, is
# repeated to each size. OUT gets large.jsonl and maps.jsonl (rows), large.md and large.svg (results). Some fifteen
# minutes on two free cores, and 3 GB of memory. SIZES are other megapixels, from 12 on two at least; run again, it
# goes on where it was stopped. Needs: pip install -c constraints.txt . ./lab; lab/recipes/fonts.sh
# brings the letters of the screen and the receipt.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
# shellcheck disable=SC2046 # a list
exec "${PYTHON:-python3}" -m cotam_lab.bench.large "$data/highres" -o "${2:-results}" \
    $(printf -- '--megapixels %s ' ${SIZES:-1 2 5 12 25 50 100})
