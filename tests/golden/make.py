"""Make the golden files anew: ``lab/recipes/golden.sh``.

Only while the weight set is not released: afterwards these files never change, since a file once written
opens for good. Sources that are there are kept. `tests/test_golden.py` says what is asserted.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from cotam.codec.planes import Symbols
from cotam.codec.still import Codec
from cotam.codec.weights import load
from cotam.runtime import OnnxRunner

HERE = Path(__file__).parent
METADATA = {"exif": b"II*\0\x08\0\0\0\0\0", "icc": b"a profile", "xmp": b"<x:xmpmeta/>"}


def checksum(symbols: Symbols) -> int:
    """CRC-32 of all integers: levels, hyper latents, latents."""
    check = 0 if symbols.levels is None else zlib.crc32(symbols.levels.astype("<i1").tobytes())
    return zlib.crc32(symbols.y.astype("<i2").tobytes(), zlib.crc32(symbols.z.astype("<i2").tobytes(), check))


def downscaled(pixels: np.ndarray) -> np.ndarray:
    """Means of 4×4 pixels, uint8; sides that are too short stay as they are."""
    for axis in (0, 1):
        if pixels.shape[axis] >= 4:
            whole = np.take(pixels, range(pixels.shape[axis] // 4 * 4), axis).astype(np.float64)
            pixels = np.stack([np.take(whole, range(i, whole.shape[axis], 4), axis) for i in range(4)]).mean(
                0
            )
    return np.rint(pixels).astype(np.uint8)


def main() -> None:
    """Write ``NAME.cotam`` and ``NAME.expected.png`` for each case, and ``golden.json``."""
    sys.path.insert(0, str(HERE.parent))
    from synthetic import level_map, page, picture

    codecs = {}
    for name in ("mllm", "page"):
        weights = load(name)
        codecs[name] = Codec(weights, OnnxRunner(weights.folder, threads=1))
    strip = np.tile(picture(1024, 8, seed=3), (65, 1, 1))  # 1040 rows of cells: more than one band holds
    cases = {
        "plain": (picture(96, 140, seed=1), 50, False, {}),
        "levels": (picture(75, 53, seed=2), 25, True, {}),
        "metadata": (picture(17, 33, seed=5), 90, False, METADATA),
        "bands": (strip, 0, False, {}),
        "page": (page(90, 150), 30, False, {}),
    }
    found = {}
    for name, (made, quality, with_levels, metadata) in cases.items():
        profile = "page" if name == "page" else "mllm"
        codec = codecs[profile]
        source = HERE / f"{name}.png"
        if not source.exists():
            Image.fromarray(made).save(source, optimize=True)
        pixels = np.asarray(Image.open(source))
        levels = level_map(*pixels.shape[:2], seed=1) | 1 if with_levels else None
        file = codec.encode(pixels, quality, levels=levels, metadata=metadata)
        (HERE / f"{name}.cotam").write_bytes(file.data)
        Image.fromarray(downscaled(codec.decode(file))).save(HERE / f"{name}.expected.png", optimize=True)
        found[name] = {
            "set": profile,
            "bytes": len(file.data),
            "symbols": checksum(codec.decode_symbols(file)),
        }
    digests = {name: codec.weights.digest.hex() for name, codec in codecs.items()}
    result = {"weights": digests, "files": found}
    (HERE / "golden.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
