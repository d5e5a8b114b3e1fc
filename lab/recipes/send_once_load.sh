#!/bin/sh
# send_once_load.sh [DATA [SECONDS]]: 64 clients with shared histories behind an edge and a gateway, for two minutes with
# send-once and two without.
#
# Prints answers by status, overhead (p50, p95), bytes on the link for an answer, and memory of both by quarters of the
# time. Fails if there is an error other than 429, if memory grows, or if the store is beyond its bound. DATA holds the
# folder kodak (../shared/data if not given). Needs Linux and: pip install 'cotam[serve]' ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam_lab.bench.session_load "$data/kodak" --clients 64 --seconds "${2:-120}"
