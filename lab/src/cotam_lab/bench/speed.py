"""Time and memory of our codec beside AVIF and WebP, in one run on one machine, as ratios.

Run it on a machine with two free cores, or under ``taskset -c 0,1``: AVIF gets two threads, WebP has one in
Pillow, and ours takes what its run time sees.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from cotam.errors import CotamError
from cotam.image.baselines import Codec, available
from cotam.image.read import Pixels, to_rgb

__all__ = ["Cost", "Setting", "commands_cost", "mosaic", "process_cost", "setting_near", "speed", "timed"]

CODECS = ("cotam", "avif", "webp")
THREADS = 2
BPP = 0.4  # rates differ in cost; this one is in the middle of what all three are used at

# A command's own peak cannot be had from this process: Linux counts what the parent occupied at the start of
# a child as the child's. So a small process starts it, times it, and says what its children took at most.
_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
_COTAM = "from cotam.cli.main import main; main()"  # what the installed command does
_PILLOW = "import sys; from PIL import Image; Image.MAX_IMAGE_PIXELS = None; Image.open(sys.argv[1])"
_PILLOW_SETTINGS = {"avif": f"codec='aom', speed=6, max_threads={THREADS}", "webp": "method=6"}


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes
    ----------
    seconds : float
        Wall clock, from start to end of the process.
    processor : float
        Seconds of processor time, of all threads: other programs change it little.
    peak : int
        Most memory it occupied, in bytes (resident set).
    """

    seconds: float
    processor: float
    peak: int


def process_cost(command: Sequence[str]) -> Cost:
    """Run a command and measure it.

    Raises
    ------
    CotamError
        If it fails; what it says goes to stderr.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    output = subprocess.run(launcher, stdout=subprocess.PIPE, check=True).stdout
    code, seconds, processor, peak = json.loads(output)
    if code:
        raise CotamError(f"exit code {code} of: {' '.join(command)}")
    return Cost(seconds, processor, peak if sys.platform == "darwin" else 1024 * peak)


def timed(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each piece of work; they take turns, so that a busy moment hits all of them.

    The first round warms up and does not count.
    """
    times: list[list[float]] = [[] for _ in works]
    for _ in tqdm(range(rounds + 1), desc="time", disable=None):
        for work, own in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in times]


@dataclass(frozen=True)
class Setting:
    """A codec at one quality, and what it made of a picture."""

    codec: Codec
    quality: int
    data: bytes


def setting_near(codec: Codec, pixels: Pixels, bpp: float) -> Setting:
    """The quality of the codec's ladder whose rate on a picture is nearest to ``bpp``, by ratio."""
    target = np.log(bpp * pixels.shape[0] * pixels.shape[1] / 8)
    settings = [Setting(codec, quality, codec.encode(pixels, quality)) for quality in codec.qualities]
    return min(settings, key=lambda one: abs(np.log(len(one.data)) - target))


def mosaic(pixels: Pixels, megapixels: float) -> Pixels:
    """Repeat a picture to a larger one of 3:2: real detail everywhere, at any size."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    rows, columns = -(-height // pixels.shape[0]), -(-width // pixels.shape[1])
    return np.ascontiguousarray(np.tile(pixels, (rows, columns, 1))[:height, :width])


@click.command()
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the table there."
)
@click.option(
    "--rounds", default=7, show_default=True, type=click.IntRange(1), help="The median of so many counts."
)
@click.option(
    "--megapixels",
    "sizes",
    multiple=True,
    type=int,
    default=(12, 100),
    help="12 and 100 if not given.  [repeatable]",
)
def speed(picture: Path, out: Path | None, rounds: int, sizes: tuple[int, ...]) -> None:
    """Time and memory of cotam, AVIF (speed 6) and WebP (method 6) on PICTURE.

    In process and from the command line; memory at several sizes, made by repeating PICTURE.
    """
    codecs, left_out = available(CODECS, THREADS)
    for line in left_out:
        click.echo(line, err=True)
    try:
        table = _measured(codecs, to_rgb(picture), rounds, sizes)
    except CotamError as error:
        raise click.ClickException(str(error)) from error
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(table, encoding="utf-8")
    click.echo(table)


def _measured(codecs: Sequence[Codec], pixels: Pixels, rounds: int, sizes: Sequence[int]) -> str:
    """The whole table."""
    settings = [setting_near(codec, pixels, BPP) for codec in codecs]
    area = pixels.shape[0] * pixels.shape[1]
    lines = {"bpp": [f"{8 * len(one.data) / area:.3f}" for one in settings]}
    encoders = [partial(one.codec.encode, pixels, one.quality) for one in settings]
    decoders = [partial(one.codec.decode, one.data) for one in settings]
    lines["encode, ms"] = _ratios(timed(encoders, rounds), 1e3)
    lines["decode, ms"] = _ratios(timed(decoders, rounds), 1e3)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "photo.png")
        Image.fromarray(pixels).save(photo)
        for _ in range(2):  # the first time, programs come from the disk
            costs = [commands_cost(one, photo) for one in settings]
        lines |= _cost_lines("command line", costs)
        for megapixels in sizes:
            photo = Path(folder, f"{megapixels}.jpg")
            Image.fromarray(mosaic(pixels, megapixels)).save(photo, quality=95)
            lines |= _cost_lines(f"{megapixels} MP", [commands_cost(one, photo) for one in settings])
    title = (
        f"{pixels.shape[1]}×{pixels.shape[0]}, two threads; in brackets the ratio to {codecs[0].name}.\n\n"
    )
    header = ["", *(f"{one.codec.name} q{one.quality}" for one in settings)]
    cells = [header, ["---"] + ["---:"] * len(settings), *([name, *values] for name, values in lines.items())]
    return title + "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _cost_lines(name: str, costs: Sequence[tuple[Cost, Cost]]) -> dict[str, list[str]]:
    lines = {}
    for what, own in zip(("encode", "decode"), zip(*costs, strict=True), strict=True):
        lines[f"{name}: {what}, s"] = _ratios([cost.seconds for cost in own], 1)
        lines[f"{name}: {what}, peak MB"] = _ratios([cost.peak for cost in own], 1e-6)
    return lines


def commands_cost(setting: Setting, photo: Path, *options: str) -> tuple[Cost, Cost]:
    """Cost of encoding a file and of decoding the result to a PPM, as processes of their own.

    ``options`` are for ``cotam encode``.
    """
    name, quality = setting.codec.name, setting.quality
    coded, back = photo.with_suffix(f".{name}"), photo.with_suffix(".ppm")
    if name == "cotam":
        encode = [_COTAM, "encode", str(photo), "-o", str(coded), "-q", str(quality), *options]
        decode = [_COTAM, "decode", str(coded), "-o", str(back)]
    else:
        settings = f"quality={quality}, {_PILLOW_SETTINGS[name]}"
        encode = [f"{_PILLOW}.save(sys.argv[2], {settings})", str(photo), str(coded)]
        decode = [f"{_PILLOW}.convert('RGB').save(sys.argv[2])", str(coded), str(back)]
    costs = tuple(process_cost([sys.executable, "-c", *command]) for command in (encode, decode))
    coded.unlink()
    back.unlink()
    return costs[0], costs[1]


def _ratios(values: Sequence[float], factor: float) -> list[str]:
    """Values in their unit, each but the first with its ratio to the first."""
    first, *others = values
    return [f"{factor * first:.4g}"] + [f"{factor * value:.4g} ({value / first:.2f}×)" for value in others]


if __name__ == "__main__":
    speed()
