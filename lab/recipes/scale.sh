#!/bin/sh
# scale.sh [OPTION …]: what a million pictures cost and save, in Markdown.
#
# Reads results/ray_batch.json, which ray_batch.sh writes; MEASURED is another one. Prices are assumptions: --sent and
# --month for a GB, --core for an hour of a core; --megapixels may be repeated. Needs: pip install . ./lab.
set -eu

exec "${PYTHON:-python3}" -m cotam_lab.bench.scale "${MEASURED:-results/ray_batch.json}" "$@"
