"""What a guide costs beside its own network: size of the file, bytes of the map, time.

``python -m cotam_lab.bench.guided FOLDER --guide NAME``; `lab/recipes/guide_cost.sh` calls it. Real files only. What
a guide is good for is not asked here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
import numpy as np

from cotam.codec.allocation import fixed
from cotam.codec.planes import Grid
from cotam.codec.shared import codec
from cotam.format.level_map import read_levels, write_levels
from cotam.format.symbols import SymbolReader, SymbolWriter
from cotam.guide import multiscale
from cotam.guide.base import Guide, exponent_of, load
from cotam.guide.importance import to_levels
from cotam.image.read import to_rgb
from cotam_lab.bench.pictures import plain_pictures

__all__ = ["coded_map", "main", "sizes", "times"]

Result = TypeVar("Result")
_COLUMNS = ("size", "mean zero", "ternary", "map")


class Uniform:
    """A guide that takes no time: what is measured with it is the work around a network."""

    side = 768

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Ones, a cell for 16×16 pixels."""
        return np.ones((-(-pixels.shape[0] // 16), -(-pixels.shape[1] // 16)), np.float32)


def coded_map(levels: np.ndarray) -> bytes:
    """What a level map alone is in a payload."""
    writer = SymbolWriter(codec().weights.tables)
    write_levels(writer, levels)
    return writer.finish()


def sizes(guide: Guide, pixels: np.ndarray, quality: int, strength: float) -> tuple[float, ...]:
    """Bits per pixel without a guide; then in % how much larger the file is with it, with levels of mean zero
    instead of equal cost, and with the ternary policy; then the share of the map in the first of these."""
    size = pixels.shape[:2]
    make = partial(
        to_levels, multiscale.importance(guide, pixels), size, strength=strength, exponent=exponent_of(guide)
    )
    costs = codec().level_costs(codec().quantise(pixels, quality)[0], Grid(*size))
    balanced = make(costs)
    plain, guided, mean_zero, ternary = (
        len(codec().encode(pixels, quality, allocator=fixed(levels)).data)
        for levels in (None, balanced, make(), make(policy="ternary"))
    )
    more = (100 * (n / plain - 1) for n in (guided, mean_zero, ternary))
    share = 100 * len(coded_map(balanced)) / guided if balanced.any() else 0.0  # zeros are not written
    return 8 * plain / (size[0] * size[1]), *more, share


def times(guide: Guide, pixels: np.ndarray) -> dict[str, float]:
    """Processor milliseconds of each step of guidance in all threads, the least of three runs."""
    coder, grid = codec(), Grid(*pixels.shape[:2])
    whole, importance = _least(lambda: multiscale.importance(guide, pixels))
    around, _ = _least(lambda: multiscale.importance(Uniform(), pixels))
    symbols, _ = coder.quantise(pixels, 10)
    cost, costs = _least(lambda: coder.level_costs(symbols, grid))
    balance, levels = _least(lambda: to_levels(importance, pixels.shape[:2], costs))
    write, data = _least(lambda: coded_map(levels))
    read, _ = _least(lambda: read_levels(SymbolReader(coder.weights.tables, data), *levels.shape))
    return {
        "guide": whole,
        "of it around the graph": around,
        "costs": cost,
        "levels": balance,
        "write": write,
        "read": read,
    }


def _least(run: Callable[[], Result]) -> tuple[float, Result]:
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        result = run()
        best = min(best, time.process_time() - started)
    return 1e3 * best, result


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--guide", "names", multiple=True, required=True, help="Its name.  [repeatable]")
@click.option("-q", "--quality", "qualities", multiple=True, type=int, default=(0, 10, 30), show_default=True)
@click.option("-s", "--strength", "strengths", multiple=True, type=float, default=(1.0,), show_default=True)
@click.option("--limit", type=int, help="Take so many pictures, evenly spaced.")
@click.option("--side", "sides", multiple=True, type=int, help="Time a picture of so many pixels squared.")
def main(
    folder: Path,
    names: Sequence[str],
    qualities: Sequence[int],
    strengths: Sequence[float],
    limit: int | None,
    sides: Sequence[int],
) -> None:
    """Measure what guides cost on the pictures of FOLDER."""
    guides = {Path(name).stem: guide for name in names if (guide := load(name)) is not None}
    pictures = [to_rgb(picture.path) for picture in plain_pictures(folder, limit)]
    click.echo("| guide | strength | quality | bpp | " + " | ".join(f"{c} %" for c in _COLUMNS) + " |")
    click.echo("| --- " * 8 + "|")
    for name, guide in guides.items():
        for strength in strengths:
            for quality in qualities:
                table = np.array([sizes(guide, pixels, quality, strength) for pixels in pictures])
                cells = [
                    f"{column.mean():+.1f} ({column.min():+.1f} … {column.max():+.1f})"
                    for column in table[:, 1:].T
                ]
                click.echo(
                    f"| {name} | {strength:g} | {quality} | {table[:, 0].mean():.3f} | {' | '.join(cells)} |"
                )
    for side in sides:
        times_over = -(-side // min(pictures[0].shape[:2]))
        large = np.tile(pictures[0], (times_over, times_over, 1))[:side, :side]
        for name, guide in guides.items():
            found = ", ".join(f"{what} {ms:.1f}" for what, ms in times(guide, large).items())
            click.echo(f"{name}, {large.shape[1]}×{large.shape[0]}, ms: {found}")


if __name__ == "__main__":
    main()
