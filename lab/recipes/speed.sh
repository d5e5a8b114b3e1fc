#!/bin/sh
# speed.sh [DATA [OUT]]: encoding and decoding times of cotam, AVIF (speed 6) and WebP (method 6) on a Kodak image.
#
# DATA (../shared/data) holds kodak; OUT (results) gets speed.md. Run it with two free cores. Needs: pip install . ./lab
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam bench speed "$data/kodak/images/kodim05.png" -o "${2:-results}/speed.md"
