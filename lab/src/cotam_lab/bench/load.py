"""``python -m cotam_lab.bench.load``: encode and decode a folder over and over, and watch what a leak would show.

Knows a folder, threads and /proc: nothing of how well pictures are coded. Every file and every decoded
picture is compared with the first one of that picture. Memory and handles of the last quarter are compared
with those of the second: the first is warming up.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import mean
from threading import Event, Lock

import click

import cotam
from cotam_lab.bench.pictures import plain_pictures

__all__ = ["Sample", "growth", "sample", "table"]

GROWTH = 1.05
"""Memory may be so many times what it was, and 8 MB more."""

QUALITIES = (20, 60, 95)
_PARTS = 4


@dataclass(frozen=True)
class Sample:
    """The process at one time: seconds since the start, bytes of memory, open handles and threads."""

    seconds: float
    memory: int
    handles: int
    threads: int


def sample(started: float, process: int | str = "self") -> Sample:
    """Of a process, by its number; ``started`` by the clock of time.monotonic."""
    with open(f"/proc/{process}/statm") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    handles, threads = (len(os.listdir(f"/proc/{process}/{kind}")) for kind in ("fd", "task"))
    return Sample(time.monotonic() - started, memory, handles, threads)


class _Work:
    """Tasks in turn, and what they came to."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._tasks = [(path, quality) for path in paths for quality in QUALITIES]
        self._first: dict[tuple[Path, int], str] = {}
        self._turn, self._lock = count(), Lock()
        self.done = 0
        self.wrong: list[str] = []

    def run(self, stop: Event) -> None:
        while not stop.is_set():
            path, quality = task = self._tasks[next(self._turn) % len(self._tasks)]
            guide = "lite" if quality == QUALITIES[1] else "none"
            data = cotam.encode(path, quality=quality, guide=guide)
            found = hashlib.sha256(data + cotam.decode(data).tobytes()).hexdigest()
            with self._lock:
                self.done += 1
                if found != self._first.setdefault(task, found):
                    self.wrong.append(f"{path}, quality {quality}: not as it was the first time")

    @property
    def compared(self) -> int:
        """Outputs that were not the first ones."""
        return self.done - len(self._first)


def quarters(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples by quarters of the time."""
    end = samples[-1].seconds
    found: list[list[Sample]] = [[] for _ in range(_PARTS)]
    for one in samples:
        found[min(int(_PARTS * one.seconds / end), _PARTS - 1)].append(one)
    return found


def growth(samples: Sequence[Sample]) -> list[str]:
    """What grew from the second quarter to the last, in words."""
    _, before, _, after = quarters(samples)
    found = []
    old, new = (mean(one.memory for one in part) / 1e6 for part in (before, after))
    if new > GROWTH * old + 8:
        found.append(f"memory grew from {old:.0f} to {new:.0f} MB")
    for name in ("handles", "threads"):
        # The fewest: whether a file is open at the time is chance.
        old, new = (min(getattr(one, name) for one in part) for part in (before, after))
        if new > old:
            found.append(f"{name} grew from {old} to {new}")
    return found


def table(samples: Sequence[Sample]) -> str:
    """A line for each quarter."""
    lines = ["| until | memory, mean · peak | handles | threads |", "| --- | --- | --- | --- |"]
    for part in filter(None, quarters(samples)):
        memory = [one.memory / 1e6 for one in part]
        handles, threads = (max(getattr(one, name) for one in part) for name in ("handles", "threads"))
        used = f"{mean(memory):.0f} · {max(memory):.0f} MB"
        lines.append(f"| {part[-1].seconds:.0f} s | {used} | {handles} | {threads} |")
    return "\n".join(lines)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", default=10.0, show_default=True)
@click.option("-j", "--jobs", type=click.IntRange(1), help="[default: number of processors]")
@click.option("--pictures", default=24, show_default=True, help="How many of the folder.")
def main(folder: Path, minutes: float, jobs: int | None, pictures: int) -> None:
    """Encode and decode the pictures of FOLDER for some minutes; exit code 1 if anything grows or changes."""
    work = _Work([picture.path for picture in plain_pictures(folder, pictures)])
    stop, started = Event(), time.monotonic()
    samples = []
    jobs = jobs or os.cpu_count() or 1
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(work.run, stop) for _ in range(jobs)]
        while time.monotonic() - started < 60 * minutes and not any(each.done() for each in running):
            time.sleep(min(1.0, minutes))
            samples.append(sample(started))
        stop.set()
    for each in running:
        each.result()  # raises what went wrong
    click.echo(table(samples))
    click.echo(
        f"{work.done} pictures there and back, {work.done / samples[-1].seconds:.1f} a second; "
        f"{work.compared} were compared with the first of their kind"
    )
    problems = [*work.wrong, *growth(samples)]
    if not work.compared:
        problems.append("too short: nothing was done twice")
    for line in problems[:20]:
        click.echo(line, err=True)
    click.echo("nothing grew, and every output was as the first time" if not problems else "FAILED")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
