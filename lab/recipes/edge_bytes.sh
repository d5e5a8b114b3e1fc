#!/bin/sh
# edge_bytes.sh [DATA]: bytes of requests between cotam edge and cotam serve, beside those of JPEG quality 85.
#
# DATA holds the folders kodak and objects (../shared/data if not given). About a minute on two cores.
# Needs: pip install '.[serve]' ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
"${PYTHON:-python3}" -m cotam_lab.bench.gateway link "$data/kodak"
exec "${PYTHON:-python3}" -m cotam_lab.bench.gateway link "$data/objects" --limit 16
