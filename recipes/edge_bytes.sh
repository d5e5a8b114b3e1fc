#!/bin/sh
# edge_bytes.sh [DATA]: bytes of requests between cotam edge and cotam serve, beside those of JPEG quality 85;
# then five photos of 12 megapixels as a hosted API gets them from cotam edge --format jpeg --for claude.
#
# DATA holds the folders kodak, objects and highres (../shared/data if not given). About two minutes on two cores.
# Needs: pip install 'cotam[bench,serve]'.
set -eu

data=${1:-$(dirname "$0")/../../shared/data}
"${PYTHON:-python3}" -m cotam.bench.gateway link "$data/kodak"
"${PYTHON:-python3}" -m cotam.bench.gateway link "$data/objects" --limit 16
exec "${PYTHON:-python3}" -m cotam.bench.gateway hosted "$data/highres" --limit 5
