#!/bin/sh
# kodak_rd.sh [DATA [OUT]]: rate and distortion on the 24 Kodak images: both profiles, for people, beside JPEG, WebP, AVIF.
#
# DATA holds the folder kodak (../shared/data if not given); OUT gets rows.jsonl, table.md, curve.svg and
# curve.png (results/kodak). LIMIT takes so many images only. About four minutes on two cores; run again, it goes
# on where it was stopped.
# Needs: pip install . ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam_lab.bench.cli sweep "$data/kodak" -o "${2:-results/kodak}" --log-rate --metric fidelity \
    --reference jpeg --reference webp --reference avif-psnr \
    --codec jpeg --codec webp --codec avif-psnr --codec avif \
    --codec cotam:profile=base,guide=none,view=human --codec cotam:profile=mllm,guide=none,view=human ${LIMIT:+--limit "$LIMIT"}
