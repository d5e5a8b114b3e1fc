"""The rounds of `load.sh`: FOLDER ROUNDS."""

import hashlib
import os
import sys
from itertools import product
from pathlib import Path

import cotam

first: dict[tuple[Path, int, str], str] = {}
used: list[int] = []
for number in range(int(sys.argv[2])):
    for path, quality, guide in product(sorted(Path(sys.argv[1]).iterdir()), (20, 60, 95), ("none", "lite")):
        data = cotam.encode(path, quality=quality, guide=guide)
        digest = hashlib.sha256(data + cotam.decode(data).tobytes()).hexdigest()
        if first.setdefault((path, quality, guide), digest) != digest:
            sys.exit(f"{path} at {quality} with guide {guide} differs from the first round")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used.append(int(status["VmRSS"].split()[0]) // 1024)
    files = len(os.listdir("/proc/self/fd"))
    threads = status["Threads"].strip()
    print(f"round {number + 1}: {used[-1]} MB, {files} open files, {threads} threads", flush=True)
if len(used) > 1 and used[-1] > 1.05 * used[1] + 8:
    sys.exit(f"memory grew from {used[1]} to {used[-1]} MB")
