#!/bin/sh
# load.sh [DATA [ROUNDS]]: encode and decode kodak of DATA (../shared/data) in one process over ROUNDS (5), at three
# qualities, with and without guide. Prints memory, open files and threads after each round. Fails if an output differs
# from the first round's, or memory grows by more than 5 % and 8 MB from the second round to the last.
#
# Ten minutes on two cores. Needs Linux and: pip install .
set -eu

exec "${PYTHON:-python3}" "$(dirname "$0")/load.py" "${1:-$(dirname "$0")/../../../shared/data}/kodak/images" "${2:-5}"
