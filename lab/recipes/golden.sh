#!/bin/sh
# golden.sh: regenerate tests/golden after the weight set was replaced.
#
# Only before a release: released files must open for good. A few seconds.
set -eu

exec "${PYTHON:-python3}" "$(dirname "$0")/../../tests/golden/make.py"
