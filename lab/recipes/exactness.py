"""The decodings of `exactness.sh`: COUNT SET FOLDER…."""

import sys
from pathlib import Path

import numpy as np
from reference_runner import ReferenceRunner
from unoptimised import UnoptimisedRunner

from cotam.codec import weights
from cotam.codec.still import Codec
from cotam.errors import CotamError
from cotam.image.read import to_rgb
from cotam.runtime import OnnxRunner
from cotam_lab.bench.images import find_images

count, found = int(sys.argv[1]), weights.load(sys.argv[2])
decoders = {
    f"{threads} threads, {kind.__name__}": Codec(found, kind(found.folder, threads))
    for threads in (1, 2)
    for kind in (OnnxRunner, UnoptimisedRunner)
}
encoder = next(iter(decoders.values()))
decoders["onnx.reference"] = Codec(found, ReferenceRunner(found.folder))
share, wrong, total, rng = -(-count // len(sys.argv[3:])), 0, 0, np.random.default_rng(0)
away = np.zeros(256, np.int64)  # number of values by distance from those of the first decoder
samples = [one for folder in sys.argv[3:] for one in find_images(Path(folder), share)][:count]
if not samples:
    sys.exit("there are no images")
for number, sample in enumerate(samples):
    pixels = to_rgb(sample.path)
    grid = -(-pixels.shape[0] // 32), -(-pixels.shape[1] // 32)
    # Every second image has the roughest map.
    levels = rng.integers(-7, 8, grid) if number % 2 else None
    for quality in (0, 25, 50, 75, 100):
        expected = encoder.quantise(pixels, quality, levels)[0]
        coded = encoder.encode(pixels, quality, levels=levels)
        first = encoder.decode(coded).astype(np.int16)
        for name, codec in decoders.items():
            total += 1
            try:
                symbols = codec.decode_symbols(coded)
                equal = np.array_equal(symbols.z, expected.z) and np.array_equal(symbols.y, expected.y)
            except CotamError:  # the checksum
                equal = False
            if not equal:
                wrong += 1
                print(f"{sample.path}, quality {quality}: {name} differs", file=sys.stderr)
            elif name != "onnx.reference":
                away += np.bincount(np.abs(codec.decode(coded) - first).ravel(), minlength=256)
found_by = f"{len(samples)} images, {len(decoders)} decoders"
print(f"{total - wrong} of {total} decodings found the encoder's symbols: {found_by}")
changed = 1 - away[0] / away.sum()
print(f"pixel values of ONNX Runtime differ by at most {away.nonzero()[0][-1]}, {changed:.2%} of them at all")
sys.exit(1 if wrong else 0)
