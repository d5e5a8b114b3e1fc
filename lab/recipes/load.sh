#!/bin/sh
# load.sh [DATA [MINUTES [PICTURES]]]: encode and decode Kodak at three qualities, with and without a guide, at full
# load for ten minutes. Prints memory, handles and threads by quarters of the time; fails if they grow, or if an output
# is not as it was the first time.
#
# DATA holds the folder kodak (../shared/data if not given). For a minute take 3 pictures: what is measured begins when
# each was done once. Needs Linux and: pip install . ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam_lab.bench.load "$data/kodak" --minutes "${2:-10}" --pictures "${3:-24}"
