"""``python -m cotam_lab.bench.session_load``: many clients with shared histories behind edge and gateway.

Memory of both is read from /proc, so this needs Linux.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import httpx2
import numpy as np

import cotam
from cotam.format.header import read_file, write_file
from cotam_lab.bench.images import find_images
from cotam_lab.bench.link import Link
from cotam_lab.bench.load import Sample, growth, sample, table
from cotam_lab.bench.service import body_of, cotam_program, model_program

__all__ = ["main"]

TURNS = 8
"""Images of a history; a client begins it again after the last."""

PIXELS = 65_536
"""Of an image: what is measured is the link, not the codec."""

STORE = 4_000_000
"""Bytes of the gateway's store and of its cache of decoded images: both are full before memory is judged."""


@dataclass
class _Load:
    """What many clients found.

    Attributes
    ----------
    rows : status, or the name of an error, and seconds of each request
    sent : bytes on the link
    samples : memory of edge and gateway
    stored : bytes in the gateway's store, at the end
    """

    rows: list[tuple[int | str, float]]
    sent: int
    samples: dict[str, list[Sample]]
    stored: int


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clients", type=click.IntRange(1), default=64, show_default=True, help="At a time.")
@click.option("--seconds", type=click.IntRange(1), default=120, show_default=True, help="How long.")
@click.option("--answer", type=float, default=0.1, show_default=True, help="Seconds that the model takes.")
def main(folder: Path, clients: int, seconds: int, answer: float) -> None:
    """Play sessions with the images in FOLDER, with and without send-once.

    Eight histories are shared by all clients; each request has an image of its own beside them. Exit code 1
    for an answer other than 200 and 429, for memory that grows, or for a store beyond its bound.
    """
    files = [cotam.encode(image.path, max_pixels=PIXELS) for image in find_images(folder, TURNS)]
    wrong = []
    for option in ("--send-once", "--no-send-once"):
        load = _measured(files, clients, seconds, answer, option)
        click.echo(f"{option}: {clients} clients, {seconds} s")
        wrong += [f"{option}: {line}" for line in _reported(load, answer)]
        if load.stored > STORE:
            wrong.append(f"{option}: the store holds {load.stored:,} bytes of {STORE:,}")
    for line in wrong:
        click.echo(line, err=True)
    click.echo("all as it should be" if not wrong else "FAILED")
    sys.exit(1 if wrong else 0)


def _measured(files: Sequence[bytes], clients: int, seconds: int, answer: float, edge: str) -> _Load:
    bounds = ["--store", str(STORE), "--cache", str(STORE)]
    with (
        model_program(answer) as (_, upstream),
        cotam_program("serve", "--upstream", upstream, *bounds) as (gateway, address),
        Link([int(address.rpartition(":")[2])]) as link,
        cotam_program("edge", "--gateway", link.address, edge) as (beside, client),
    ):
        samples: dict[str, list[Sample]] = {"edge": [], "gateway": []}
        stop, started = threading.Event(), time.monotonic()

        def watch() -> None:
            while not stop.wait(min(0.5, seconds / 40)):
                samples["edge"].append(sample(started, beside.pid))
                samples["gateway"].append(sample(started, gateway.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        rows = asyncio.run(_clients(client, files, clients, seconds))
        stop.set()
        watcher.join()
        text = httpx2.get(f"{address}/metrics").text
        stored = re.search(r"^cotam_store_bytes (.*)$", text, re.MULTILINE)
        assert stored
        return _Load(rows, link.sent, samples, int(float(stored[1])))


async def _clients(
    address: str, files: Sequence[bytes], clients: int, seconds: int
) -> list[tuple[int | str, float]]:
    rows: list[tuple[int | str, float]] = []
    parsed = read_file(files[0])
    until = time.perf_counter() + seconds

    async def one(number: int, client: httpx2.AsyncClient) -> None:
        turn = 0
        while time.perf_counter() < until:
            first, count = number % TURNS, turn % TURNS + 1
            history = [files[(first + step) % TURNS] for step in range(count)]
            own = write_file(replace(parsed, metadata={"xmp": f"{number} {turn}".encode()}))
            turn += 1
            started = time.perf_counter()
            try:
                body = body_of(*(("image/vnd.cotam", file) for file in (*history, own)))
                answer = await client.post("/v1/chat/completions", content=body)
            except httpx2.HTTPError as error:
                rows.append((type(error).__name__, time.perf_counter() - started))
                continue
            rows.append((answer.status_code, time.perf_counter() - started))
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=address, timeout=300, limits=limits) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))
    return rows


def _reported(load: _Load, answer: float) -> Iterator[str]:
    """Print what was found, and give what is wrong in words."""
    counts = Counter(str(status) for status, _ in load.rows)
    click.echo(", ".join(f"{count} × {status}" for status, count in sorted(counts.items())))
    times = np.array([taken for status, taken in load.rows if status == 200])
    if errors := set(counts) - {"200", "429"}:
        yield f"errors other than 429: {', '.join(sorted(errors))}"
    if not len(times):
        yield "no request was answered"
        return
    middle, high = np.percentile(times - answer, [50, 95])
    click.echo(
        f"overhead p50 {middle:.2f} s, p95 {high:.2f} s; {load.sent / len(times):,.0f} bytes on the link "
        f"for an answer; {load.stored:,} bytes stored"
    )
    for name, samples in load.samples.items():
        click.echo(f"{name}\n{table(samples)}")
        yield from (f"{name}: {line}" for line in growth(samples))


if __name__ == "__main__":
    main()
