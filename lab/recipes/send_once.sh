#!/bin/sh
# send_once.sh [DATA]: bytes between cotam edge and cotam serve in a session of 18 screenshots, repeated in each turn.
#
# Plays the session with the clients of three APIs; without send-once; without patches; with the gateway killed in turn 9
# (store in memory, then on disk); with the edge killed; with two gateways behind one address; and with a store that is too
# small. Fails if the model misses an image, if an image changes from turn to turn, or if more bytes cross than the limit
# of the run. DATA (../shared/data) holds screen_sequence. Needs: pip install '.[serve]' ./lab openai anthropic google-genai
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}/screen_sequence/images
session() { echo "== $*"; "${PYTHON:-python3}" -m cotam_lab.bench.session "$data" "$@"; }

session --edge=--no-send-once
session --edge=--no-patches --most 1100000
session --most 600000
session --client anthropic --most 600000
session --client gemini --most 600000
session --kill 9 --most 1700000
session --kill 9 --disk --most 1150000
session --kill-edge 9 --most 1150000
session --two
session --serve=--store --serve=200k
