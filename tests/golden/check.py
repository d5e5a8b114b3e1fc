"""Decode the golden files here, and compare: symbols with those of old, pixels with another machine's.

    python tests/golden/check.py --write pixels.npz      # on one machine
    python tests/golden/check.py --compare pixels.npz    # on the other

Needs the core install only. The exit code is 1 if a symbol differs, or a pixel by more than one level.
`lab/recipes/arm64.sh` runs both, the second under emulation.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from make import checksum

from cotam.codec.shared import codec_of
from cotam.codec.views import VIEWS
from cotam.format.header import read_file

HERE = Path(__file__).parent
LEVELS = 1
"""By how much a pixel may differ: floats are summed in another order there."""


def main() -> int:
    """Run the comparison; see the module."""
    parser = argparse.ArgumentParser(description="Decode the golden files and compare them.")
    parser.add_argument("--write", type=Path, metavar="NPZ", help="where to put the pixels")
    parser.add_argument("--compare", type=Path, metavar="NPZ", help="pixels that another machine wrote")
    arguments = parser.parse_args()

    golden = json.loads((HERE / "golden.json").read_text())["files"]
    started = time.perf_counter()
    print(f"{platform.machine()}, Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}")
    other = dict(np.load(arguments.compare)) if arguments.compare else {}
    pixels, wrong = {}, 0
    for name, expected in golden.items():
        file = read_file((HERE / f"{name}.cotam").read_bytes())
        codec = codec_of(file.header.weights)
        equal = checksum(codec.decode_symbols(file)) == expected["symbols"]
        wrong += not equal
        words = ["symbols equal" if equal else "SYMBOLS DIFFER"]
        for view in VIEWS if name != "bands" else VIEWS[-1:]:  # which takes longest
            key = f"{name}.{view}"
            pixels[key] = codec.decode(file, view=view)
            if key in other:
                off = np.abs(pixels[key].astype(int) - other[key])
                wrong += int(off.max() > LEVELS)
                words.append(f"{view} view at most {off.max()} off, at {(off > 0).mean():.4%} of values")
        print(f"{name:9} {'; '.join(words)}", flush=True)
    print(f"{time.perf_counter() - started:.1f} s")
    if arguments.write:
        np.savez(arguments.write, **pixels)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
