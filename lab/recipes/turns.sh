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
"${PYTHON:-python3}" - "$work" "${ROUNDS:-15}" "${RUNS:-7}" "${IMAGE:-$data/kodak/images/kodim05.png}" \
    "${SCREENS:-$screens/windowsdark.png $screens/github_mattermost.png $screens/gruvboxdark.png}" "$@" <<'END'
import json, os, subprocess, sys, time
from statistics import median

work, rounds, runs, image, screens, *commits = sys.argv[1:]
PROGRAM = """
import json, sys, time
import cotam
from PIL import Image

pixels, options = Image.open(sys.argv[1]).convert("RGB"), json.loads(sys.argv[2])
while True:
    started = time.perf_counter()
    data = cotam.encode(pixels, quality=32, **options)
    between = time.perf_counter()
    cotam.decode(data)
    print(json.dumps([between - started, time.perf_counter() - between]), flush=True)
    sys.stdin.readline() or sys.exit()
"""


def start(commit, *command, **pipes):
    environment = os.environ | {"PYTHONPATH": f"{work}/{commit}/src"}
    return subprocess.Popen([sys.executable, *command], env=environment, text=True, **pipes)


def whole(commit, *arguments):
    started = time.perf_counter()
    process = start(commit, "-m", "cotam", *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.wait() == 0, f"{commit}: cotam {' '.join(arguments)} failed"
    return time.perf_counter() - started


def medians(title, unit, measure, count):
    for commit in commits:
        measure(commit)
    rows = [[measure(commit) for commit in commits] for _ in range(count)]
    for number, commit in enumerate(commits):
        print(f"{title}, {commit}: {unit(median(row[number] for row in rows))}")


for options in ({}, {"guide": "none"}):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = {commit: start(commit, "-c", PROGRAM, image, json.dumps(options), **pipes) for commit in commits}
    for process in running.values():  # the first time is that of opening the graphs
        process.stdout.readline()
    times = {commit: [] for commit in commits}
    for _ in range(int(rounds)):
        for commit, process in running.items():
            print(file=process.stdin, flush=True)
            times[commit].append(json.loads(process.stdout.readline()))
    for commit, found in times.items():
        running[commit].communicate()
        encode, decode = (1000 * median(one) for one in zip(*found))
        print(f"{options or 'default'}, {commit}: encode {encode:.1f}, decode {decode:.1f} ms")

if not int(runs):
    sys.exit()
for path in [image, *screens.split()]:
    for effort in ("default", "fast"):
        arguments = ("encode", path, "-e", effort, "-o")
        medians(f"encode {os.path.basename(path)} -e {effort}", "{:.2f} s".format,
                lambda commit: whole(commit, *arguments, f"{work}/{commit}.cotam"), int(runs))  # fmt: skip
for commit in commits:
    whole(commit, "encode", image, "-o", f"{work}/{commit}.cotam")
medians("decode", "{:.2f} s".format, lambda commit: whole(commit, "decode", f"{work}/{commit}.cotam", "-o",
        f"{work}/{commit}.png"), int(runs))  # fmt: skip
END
