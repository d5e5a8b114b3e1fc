"""``python -m cotam.bench.exactness``: does every way to run the scale graph decode the same symbols?

Files are made once; each decoder reads all of them and must find the encoder's symbols.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from cotam import weights
from cotam.bench.pictures import plain_pictures
from cotam.codec import Codec
from cotam.errors import CotamError
from cotam.image import to_rgb
from cotam.runtime import OnnxRunner, Runner, make_runner

__all__ = ["decoders", "differences"]

QUALITIES = (0, 25, 50, 75, 100)


def decoders(name: str = weights.DEFAULT) -> dict[str, Codec]:
    """A codec for each combination of back end, threads and graph optimisation, by its description."""
    found = weights.load(name)
    runners: dict[str, Runner] = {}
    for threads in (1, 2):
        for optimise in (True, False):
            what = f"onnx, threads {threads}, optimisation {'on' if optimise else 'off'}"
            runners[what] = OnnxRunner(found.folder, threads, optimise=optimise)
        runners[f"torch, threads {threads}"] = make_runner(found.folder, "torch", threads)
    return {what: Codec(found, runner) for what, runner in runners.items()}


def differences(pixels: np.ndarray, levels: np.ndarray | None, codecs: dict[str, Codec]) -> list[str]:
    """Which decoders find other symbols than the first one's encoder chose, and at which quality.

    Parameters
    ----------
    pixels : uint8 (H, W, 3)
    levels : int8 (⌈H/32⌉, ⌈W/32⌉) in ±7, or None
    codecs : as `decoders` gives them
    """
    encoder = next(iter(codecs.values()))
    wrong = []
    for quality in QUALITIES:
        expected = encoder.quantise(pixels, quality, levels)[0]
        data = encoder.encode(pixels, quality, levels=levels)
        for what, codec in codecs.items():
            try:
                same = codec.decode_symbols(data)[0].equals(expected)
            except CotamError:  # the checksum noticed
                same = False
            if not same:
                wrong.append(f"{what}, quality {quality}")
    return wrong


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--pictures", default=50, show_default=True, help="How many, evenly from all folders.")
def main(folders: tuple[Path, ...], pictures: int) -> None:
    """Compare decoded symbols of the pictures in FOLDERS; exit code 1 if any differ."""
    codecs = decoders()
    rng = np.random.default_rng(0)
    share = -(-pictures // len(folders))
    chosen = [p for folder in folders for p in plain_pictures(folder, share)][:pictures]
    failed = 0
    for number, picture in enumerate(chosen):
        pixels = to_rgb(picture.path)
        cells = -(-pixels.shape[0] // 32), -(-pixels.shape[1] // 32)
        # Every second picture with levels as rough as can be.
        levels = rng.integers(-7, 8, cells) if number % 2 else None
        for what in differences(pixels, levels, codecs):
            click.echo(f"{picture.path}: {what}: symbols differ", err=True)
            failed += 1
    total = len(chosen) * len(QUALITIES) * len(codecs)
    click.echo(
        f"{total - failed} of {total} decodings gave the encoder's symbols: "
        f"{len(chosen)} pictures, {len(QUALITIES)} qualities, {len(codecs)} decoders"
    )
    sys.exit(1 if failed or not chosen else 0)


if __name__ == "__main__":
    main()
