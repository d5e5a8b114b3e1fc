#!/bin/sh
# ray_batch.sh [FOLDER [PICTURES [OUT]]]: 2,000 crops of 256×256 through `cotam batch`: one and two processes, one
# and two workers of a Ray cluster on this machine, and two of which one is killed. Prints pictures a second and the
# ratio to one worker; fails if an output is missing or is not, byte for byte, that of the single process.
#
# FOLDER holds pictures (../shared/data/kodak if not given); OUT gets ray_batch.json (results). Some eight minutes on
# two free cores. Needs Linux and: pip install '.[ray]' ./lab.
set -eu

folder=${1:-$(dirname "$0")/../../../shared/data/kodak}
exec "${PYTHON:-python3}" -m cotam_lab.bench.bulk "$folder" --pictures "${2:-2000}" --output "${3:-results}/ray_batch.json"
