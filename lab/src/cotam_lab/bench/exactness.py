"""``python -m cotam_lab.bench.exactness``: does every way to run the scale graph decode the same symbols?

Files are made once; each decoder reads all of them and must find the encoder's symbols. Files that are there
already (``--golden``) are read in more ways; the checksum over all symbols that they carry must agree, and
pixels up to one level.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import click
import numpy as np

from cotam.codec import weights
from cotam.codec.allocation import fixed
from cotam.codec.still import Codec
from cotam.errors import CotamError
from cotam.format.header import read_file, read_header
from cotam.image.read import to_rgb
from cotam.runtime import OnnxRunner, Optimisation
from cotam_lab.bench.pictures import plain_pictures
from cotam_lab.bench.reference_runner import ReferenceRunner

__all__ = ["decoders", "differences", "golden"]

QUALITIES = (0, 25, 50, 75, 100)


PIXEL_LEVELS = 1
"""By how much pixels may differ: the order in which floats are summed is not the same everywhere."""


def decoders(
    name: str = weights.DEFAULT,
    threads: Sequence[int] = (1, 2),
    optimisations: Sequence[Optimisation] = ("all", "none"),
) -> Iterator[tuple[str, Codec]]:
    """A description and a codec for each combination of back end, threads and graph optimisation."""
    found = weights.load(name)
    for count in threads:
        for optimisation in optimisations:
            what = f"onnx, threads {count}, optimisation {optimisation}"
            yield what, Codec(found, OnnxRunner(found.folder, count, optimisation=optimisation))
    yield "onnx.reference", Codec(found, ReferenceRunner(found.folder))


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
        expected = encoder.quantise(pixels, quality, fixed(levels))[0]
        coded = encoder.encode(pixels, quality, allocator=fixed(levels))
        for what, codec in codecs.items():
            try:
                same = codec.decode_symbols(coded)[0].equals(expected)
            except CotamError:  # the checksum noticed
                same = False
            if not same:
                wrong.append(f"{what}, quality {quality}")
    return wrong


def golden(files: Sequence[Path], codecs: Iterator[tuple[str, Codec]]) -> tuple[list[str], int, int]:
    """What differs, how many decodings there were, and by how much pixels differ from the first codec's."""
    wrong, count, most = [], 0, 0
    pixels: dict[Path, np.ndarray] = {}
    for what, codec in codecs:
        for path in files:
            count += 1
            try:
                found = codec.decode(read_file(path.read_bytes())).astype(int)
            except CotamError as error:
                wrong.append(f"{path}: {what}: {error}")
                continue
            off = int(np.abs(found - pixels.setdefault(path, found)).max())
            most = max(most, off)
            if off > PIXEL_LEVELS:
                wrong.append(f"{path}: {what}: pixels differ by {off}")
    return wrong, count, most


def _golden_of_all(folder: Path) -> tuple[list[str], int, int]:
    """`golden` of the files of each weight set, together."""
    made: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.cotam")):
        made.setdefault(weights.by_hash(read_header(path.read_bytes()).weights).name, []).append(path)
    found = [
        golden(files, decoders(name, threads=range(1, 9), optimisations=get_args(Optimisation)))
        for name, files in made.items()
    ]
    wrong = [line for lines, _, _ in found for line in lines]
    return wrong, sum(count for _, count, _ in found), max((most for _, _, most in found), default=0)


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--weights",
    "name",
    type=click.Choice(weights.names()),
    default=weights.DEFAULT,
    show_default=True,
    help="The set that codes pictures.",
)
@click.option("--pictures", default=50, show_default=True, help="How many, evenly from all folders.")
@click.option(
    "--golden",
    "made_before",
    metavar="FOLDER",
    type=click.Path(exists=True, path_type=Path),
    help="Decode the .cotam files there, of any set, with 1 to 8 threads, all optimisation levels and torch.",
)
def main(folders: tuple[Path, ...], name: str, pictures: int, made_before: Path | None) -> None:
    """Compare decoded symbols of the pictures in FOLDERS; exit code 1 if any differ."""
    if made_before:
        wrong, count, most = _golden_of_all(made_before)
        for line in wrong:
            click.echo(line, err=True)
        click.echo(
            f"{count - len(wrong)} of {count} decodings of {made_before} gave the encoder's symbols; "
            f"pixels differ by {most} at most"
        )
        if wrong or not count:
            sys.exit(1)
    if not folders:
        return
    codecs = dict(decoders(name))
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
