#!/bin/sh
# turns.sh COMMIT…: time several commits in turns on one machine: cotam.encode and cotam.decode of IMAGE at quality 32, with
# and without a guide, in one process per commit; then `cotam encode` and `cotam decode` of IMAGE and SCREENS, with the
# start of the process.
#
# IMAGE is kodak/images/kodim05.png in DATA (../shared/data), SCREENS three of DATA/screens. Medians of ROUNDS (15) and RUNS
# (7); RUNS=0 skips the command line, for commits that lack -e. Three minutes for two commits on two idle cores.
# Needs git and: pip install .
set -eu
unset PYTHONDONTWRITEBYTECODE

here=$(cd "$(dirname "$0")/../.." && pwd)
data=${DATA:-$here/../shared/data}
work=$(mktemp -d)
trap 'for commit in "$@"; do git -C "$here" worktree remove --force "$work/$commit"; done; rm -rf "$work"' EXIT
for commit in "$@"; do
    git -C "$here" worktree add -q --detach "$work/$commit" "$commit"
done
screens="$data/screens/images"
"${PYTHON:-python3}" "$here/lab/recipes/turns.py" "$work" "${ROUNDS:-15}" "${RUNS:-7}" "${IMAGE:-$data/kodak/images/kodim05.png}" \
    "${SCREENS:-$screens/windowsdark.png $screens/github_mattermost.png $screens/gruvboxdark.png}" "$@"
