"""The times of `turns.sh`: WORK ROUNDS RUNS IMAGE SCREENS COMMIT…."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

work, rounds, runs, image, screens, *commits = sys.argv[1:]
CODER = str(Path(__file__).with_name("turns_coder.py"))


def environment(commit: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{work}/{commit}/src"}


def coder(commit: str, options: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, CODER, image, json.dumps(options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment(commit), text=True, stdin=pipe, stdout=pipe)


def whole(command: str, path: str, out: str, *options: str, commit: str) -> float:
    """Return the seconds of ``cotam COMMAND PATH -o OUT …``, with the start of the process."""
    arguments = [sys.executable, "-m", "cotam", command, path, "-o", f"{work}/{commit}.{out}", *options]
    started = time.perf_counter()
    subprocess.run(arguments, env=environment(commit), capture_output=True, check=True)
    return time.perf_counter() - started


def medians(title: str, measure: Callable[..., float]) -> None:
    """Measure each commit, in turns, and print medians without the first round."""
    rows = [[measure(commit=commit) for commit in commits] for _ in range(1 + int(runs))]
    for commit, times in zip(commits, zip(*rows[1:], strict=True), strict=True):
        print(f"{title}, {commit}: {median(times):.2f} s")


options: dict[str, str]
for options in ({}, {"guide": "none"}):
    coders = {commit: coder(commit, options) for commit in commits}
    times: dict[str, list[list[float]]] = {commit: [] for commit in commits}
    for number in range(1 + int(rounds)):
        for commit, process in coders.items():
            assert process.stdin
            assert process.stdout
            if number:
                print(file=process.stdin, flush=True)
            times[commit].append(json.loads(process.stdout.readline()))
    for commit, found in times.items():
        coders[commit].communicate()
        # The first time is that of opening the graphs.
        encode, decode = (1000 * median(one) for one in zip(*found[1:], strict=True))
        print(f"{options or 'default'}, {commit}: encode {encode:.1f}, decode {decode:.1f} ms")

if not int(runs):
    sys.exit()
for path in [image, *screens.split()]:
    for effort in ("default", "fast"):
        medians(
            f"encode {Path(path).name} -e {effort}", partial(whole, "encode", path, "cotam", "-e", effort)
        )
for commit in commits:
    whole("encode", image, "cotam", commit=commit)
medians("decode", lambda commit: whole("decode", f"{work}/{commit}.cotam", "png", commit=commit))
