#!/bin/sh
# send_once.sh [DATA]: bytes between cotam edge and cotam serve in a session of 18 screenshots, repeated in each turn.
#
# Plays the session without send-once, without patches, and with both. Fails if the model misses an image, if an image
# changes from turn to turn, or if more bytes cross than the limit of the run. DATA (../shared/data) holds screen_sequence.
# Needs: pip install '.[serve]' ./lab anthropic
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}/screen_sequence/images
session() { echo "== $*"; "${PYTHON:-python3}" "$(dirname "$0")/session.py" "$data" --gateway --model m "$@"; }

session --edge=--no-send-once
session --edge=--no-patches --most 1100000
session --most 600000
