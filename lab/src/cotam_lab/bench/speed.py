"""``cotam bench speed``: encoding and decoding times of cotam, AVIF and WebP in one run, as ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.baselines import Codec, codec
from cotam_lab.bench.report import table

__all__ = ["Setting", "setting_near", "speed_table", "timed"]

CODECS = ("cotam", "avif", "webp")
THREADS = 2
BPP = 0.4  # time depends on the rate; this is in the middle of the range in use


def timed(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each call; calls alternate, so that load affects all alike.

    The first round warms up and is not counted.
    """
    times: list[list[float]] = [[] for _ in calls]
    for _ in tqdm(range(rounds + 1), desc="time", disable=None):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in times]


@dataclass(frozen=True)
class Setting:
    """A codec at one quality, with the file it made."""

    codec: Codec
    quality: int
    data: bytes


def setting_near(codec: Codec, pixels: Pixels, bpp: float) -> Setting:
    """Choose the quality of the codec's ladder whose rate is nearest to ``bpp``, by ratio."""
    target = np.log(bpp * pixels.shape[0] * pixels.shape[1] / 8)
    settings = [Setting(codec, quality, codec.encode(pixels, quality)) for quality in codec.qualities]
    return min(settings, key=lambda one: abs(np.log(len(one.data)) - target))


def speed_table(image: Path, rounds: int) -> str:
    """Time `CODECS` on an image, and return the table as Markdown: bpp, ms to encode, ms to decode."""
    pixels = to_rgb(image)
    settings = [setting_near(codec(name, THREADS), pixels, BPP) for name in CODECS]
    area = pixels.shape[0] * pixels.shape[1]
    encoders = [partial(one.codec.encode, pixels, one.quality) for one in settings]
    decoders = [partial(one.codec.decode, one.data) for one in settings]
    lines = [
        ["bpp", *(f"{8 * len(one.data) / area:.3f}" for one in settings)],
        ["encode, ms", *_ratios(timed(encoders, rounds), 1e3)],
        ["decode, ms", *_ratios(timed(decoders, rounds), 1e3)],
    ]
    size = f"{pixels.shape[1]}×{pixels.shape[0]}"
    header = [size, *(f"{one.codec.name} q{one.quality}" for one in settings)]
    note = f"Two threads; in brackets the ratio to {CODECS[0]}.\n\n"
    return note + table(header, lines, numbers_from=1)


def _ratios(values: Sequence[float], factor: float) -> list[str]:
    """Format values in their unit, all but the first with the ratio to the first."""
    first, *others = values
    return [f"{factor * first:.4g}"] + [f"{factor * value:.4g} ({value / first:.2f}×)" for value in others]
