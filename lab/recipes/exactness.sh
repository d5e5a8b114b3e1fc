#!/bin/sh
# exactness.sh [FOLDER …] [--pictures N]: decode 50 pictures at 5 qualities with ONNX Runtime (1 and 2 threads,
# graph optimisation on and off) and torch (1 and 2 threads); and tests/golden with 1 to 8 threads and all levels of
# optimisation. All symbols are equal, or the exit code is 1.
#
# FOLDERs hold pictures; without any: Kodak, charts and objects in ../shared/data. Some six minutes on two cores.
# Needs: pip install . ./lab.
set -eu

data=$(dirname "$0")/../../../shared/data
case ${1:-} in
"" | -*) set -- "$data/kodak" "$data/charts" "$data/objects" "$@" ;;
esac
exec "${PYTHON:-python3}" -m cotam_lab.bench.exactness --golden "$(dirname "$0")/../../tests/golden" "$@"
