"""Record memory, open files and threads of a process over time, from /proc (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

__all__ = ["Sample", "growth", "sample", "table"]

GROWTH = 1.05
"""Memory may grow by this factor and 8 MB."""

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


def quarters(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Split samples into quarters of the time."""
    end = samples[-1].seconds
    found: list[list[Sample]] = [[] for _ in range(_PARTS)]
    for one in samples:
        found[min(int(_PARTS * one.seconds / end), _PARTS - 1)].append(one)
    return found


def growth(samples: Sequence[Sample]) -> list[str]:
    """Say what grew from the second quarter to the last."""
    _, before, _, after = quarters(samples)
    found = []
    old, new = (mean(one.memory for one in part) / 1e6 for part in (before, after))
    if new > GROWTH * old + 8:
        found.append(f"memory grew from {old:.0f} to {new:.0f} MB")
    for name in ("handles", "threads"):
        # How many files are open varies with the requests in progress.
        old, new = max(getattr(one, name) for one in before), min(getattr(one, name) for one in after)
        if new > old:
            found.append(f"{name} grew from {old} to {new}")
    return found


def table(samples: Sequence[Sample]) -> str:
    """Write a line for each quarter."""
    lines = ["| until | memory, mean · peak | handles | threads |", "| --- | --- | --- | --- |"]
    for part in filter(None, quarters(samples)):
        memory = [one.memory / 1e6 for one in part]
        handles, threads = (max(getattr(one, name) for one in part) for name in ("handles", "threads"))
        used = f"{mean(memory):.0f} · {max(memory):.0f} MB"
        lines.append(f"| {part[-1].seconds:.0f} s | {used} | {handles} | {threads} |")
    return "\n".join(lines)
