#!/bin/sh
# kodak_rd.sh [DATA [OUT]]: PSNR and MS-SSIM on the 24 Kodak images: base and mllm, view human, against JPEG, WebP, AVIF.
#
# DATA (../shared/data) holds kodak; OUT (results/kodak) gets rows.jsonl, table.md, curve.svg and curve.png. LIMIT is a
# number of images. Four minutes on two cores; run again, it continues. Needs: pip install . ./lab
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam bench sweep "$data/kodak" -o "${2:-results/kodak}" --log-rate --metric fidelity \
    --reference jpeg --reference webp --reference avif-psnr --reference avif \
    --codec jpeg --codec webp --codec avif-psnr --codec avif \
    --codec cotam:profile=base,guide=none,view=human --codec cotam:profile=mllm,guide=none,view=human ${LIMIT:+--limit "$LIMIT"}
