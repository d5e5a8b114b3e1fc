#!/bin/sh
# hosted_session.sh [DATA]: a session of 18 screenshots through cotam edge --upstream; each turn repeats all before.
#
# Prints the size of requests, how many images changed since the previous turn, and the share of words that Tesseract reads
# in the last three screenshots: within the limits of today's Claude, of older ones, and with a budget of 4 MB.
# DATA (../shared/data) holds screen_sequence. Needs Tesseract and: pip install '.[serve]' ./lab anthropic
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}/screen_sequence/images
session() { echo "== $*"; "${PYTHON:-python3}" "$(dirname "$0")/session.py" "$data" "$@"; }

session --least-words 0.97
session --model claude-opus-4-6
session --least-words 0.97 --edge=--max-request-bytes --edge=4M
