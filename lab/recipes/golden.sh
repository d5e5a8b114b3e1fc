#!/bin/sh
# golden.sh: make tests/golden anew after the weight set was replaced.
#
# Only before the set is released: afterwards its files open for good. A few seconds.
set -eu

exec "${PYTHON:-python3}" "$(dirname "$0")/../../tests/golden/make.py"
