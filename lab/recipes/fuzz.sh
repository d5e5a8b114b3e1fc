#!/bin/sh
# fuzz.sh [COUNT]: decode COUNT mutated files (10000). Fails unless each ends in a clear error or in the right symbols,
# within 2 seconds and 1 GiB. Prints counts by outcome, the slowest file and the peak of memory.
#
# A minute and a half. Needs: pip install '.[dev]'
set -eu

tests=$(dirname "$0")/../../tests
COTAM_MUTATIONS="${1:-10000}" exec "${PYTHON:-python3}" -m pytest -q -m slow "$tests/test_hostile.py"
