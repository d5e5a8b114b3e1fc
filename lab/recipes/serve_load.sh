#!/bin/sh
# serve_load.sh [DATA [SECONDS]]: cotam serve with 64 clients at a time, on loopback only, for two minutes.
#
# Prints answers by status, the gateway's overhead (p50, p95) and processor time, its memory, handles and threads at the
# start, at the end and by quarters of the time; then what hostile files are answered and cost, whether clients that go
# free their work, and what is answered when the model server is killed. Fails if there is an error other than 429, if
# memory grows, or if one of the others is not as it should be.
#
# DATA holds the folder kodak (../shared/data if not given). Nothing else should run on the machine. Needs Linux and:
# pip install '.[serve]' ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam_lab.bench.gateway_load "$data/kodak" --clients 64 --seconds "${2:-120}"
