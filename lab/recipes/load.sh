#!/bin/sh
# load.sh [DATA [ROUNDS]]: encode and decode kodak of DATA (../shared/data) in one process over ROUNDS (5), at three
# qualities, with and without guide. Prints memory, open files and threads after each round. Fails if an output differs
# from the first round's, or memory grows by more than 5 % and 8 MB from the second round to the last.
#
# Ten minutes on two cores. Needs Linux and: pip install .
set -eu

exec "${PYTHON:-python3}" - "${1:-$(dirname "$0")/../../../shared/data}/kodak/images" "${2:-5}" <<'END'
import hashlib, os, sys
from itertools import product
from pathlib import Path

import cotam

first, used = {}, []
for number in range(int(sys.argv[2])):
    for path, quality, guide in product(sorted(Path(sys.argv[1]).iterdir()), (20, 60, 95), ("none", "lite")):
        data = cotam.encode(path, quality=quality, guide=guide)
        digest = hashlib.sha256(data + cotam.decode(data).tobytes()).hexdigest()
        if first.setdefault((path, quality, guide), digest) != digest:
            sys.exit(f"{path} at {quality} with guide {guide} differs from the first round")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used.append(int(status["VmRSS"].split()[0]) // 1024)
    files = len(os.listdir("/proc/self/fd"))
    print(f"round {number + 1}: {used[-1]} MB, {files} open files, {status['Threads'].strip()} threads", flush=True)
if len(used) > 1 and used[-1] > 1.05 * used[1] + 8:
    sys.exit(f"memory grew from {used[1]} to {used[-1]} MB")
END
