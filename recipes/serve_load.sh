#!/bin/sh
# serve_load.sh [DATA [SECONDS]]: cotam serve with 64 clients at a time, on loopback only, for two minutes.
#
# DATA holds the folder kodak (../shared/data if not given). Prints answers by status, the gateway's overhead
# (p50, p95) and its memory by thirds of the time; fails if an answer is neither 200 nor 429. Nothing else
# should run on the machine. Needs Linux and: pip install 'cotam[bench,serve]'.
set -eu

data=${1:-$(dirname "$0")/../../shared/data}
exec "${PYTHON:-python3}" -m cotam.bench.gateway load "$data/kodak" --clients 64 --seconds "${2:-120}"
