"""Convert many inputs to one output each, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from cotam import files
from cotam.format.header import read_header
from cotam.screen import Screen

__all__ = ["Convert", "run"]

Convert = Callable[[str, str], tuple[bytes, bytes]]
"""(input, output) → the bytes to write, and the whole .cotam file that was made or read."""


def run(
    inputs: Sequence[str],
    outputs: Sequence[str],
    convert: Convert,
    *,
    jobs: int,
    overwrite: bool,
    screen: Screen,
) -> None:
    """Write what ``convert`` makes of each input; one that fails doesn't stop the others."""
    sources = files.identities(inputs)

    def one(source: str, target: str) -> None:
        started = time.perf_counter()
        with screen.reporting(source):
            files.check_output(target, sources, overwrite=overwrite)
            data, coded = convert(source, target)
            files.write_whole(target, data, overwrite=overwrite)
            header = read_header(coded)
            bpp = 8 * len(coded) / (header.width * header.height)
            seconds = time.perf_counter() - started
            screen.summary(f"{source} -> {target}: {len(coded)} bytes, {bpp:.3f} bpp, {seconds:.2f} s")

    with screen.progress(len(inputs)) as advance:
        for _ in _each(one, inputs, outputs, jobs):
            advance(1)


def _each(
    work: Callable[[str, str], None], inputs: Sequence[str], outputs: Sequence[str], jobs: int
) -> Iterator[None]:
    """``work`` on each input, in order, with so many at a time.

    In threads: they share one loaded codec and its own threads, and what takes time lets other threads run.
    Processes were slower by the time that they need to start, for 24 pictures on two cores by a third.
    """
    if min(jobs, len(inputs)) == 1:
        yield from map(work, inputs, outputs)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(work, inputs, outputs)
    finally:
        pool.shutdown(cancel_futures=True)
