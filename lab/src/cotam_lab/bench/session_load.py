"""``python -m cotam_lab.bench.session_load``: many clients with shared histories behind edge and gateway.

Memory of both is read from /proc, so this needs Linux.
"""

from __future__ import annotations

import asyncio
import base64
import os
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
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import cotam
from cotam.format.header import read_file, write_file
from cotam_lab.bench.images import find_images
from cotam_lab.bench.link import Link
from cotam_lab.bench.service import cotam_program, serving

__all__ = ["main"]

TURNS = 8
"""Images of a history; a client begins it again after the last."""

ANSWER = 0.1
"""Seconds that the model takes."""

PIXELS = 65_536
"""Of an image: what is measured is the link, not the codec."""

STORE = 4_000_000
"""Bytes of the gateway's store and of its cache of decoded images: both are full before memory is judged."""


GROWTH = 1.05
"""Memory may grow by this factor and 8 MB, from the second quarter of the time to the last."""


@dataclass
class _Load:
    """Status, or the name of an error, and seconds of each request; bytes on the link and in the store."""

    rows: list[tuple[int | str, float]]
    sent: int
    memory: dict[str, list[float]]  # of edge and gateway, in MB
    stored: int


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clients", type=click.IntRange(1), default=64, show_default=True, help="At a time.")
@click.option("--seconds", type=click.IntRange(1), default=120, show_default=True, help="How long.")
def main(folder: Path, clients: int, seconds: int) -> None:
    """Play sessions with the images in FOLDER, with and without send-once.

    Eight histories are shared by all clients; each request has an image of its own beside them. Exit code 1
    for an answer other than 200 and 429, for memory that grows, or for a store beyond its bound.
    """
    files = [cotam.encode(image.path, max_pixels=PIXELS) for image in find_images(folder, TURNS)]
    wrong = []
    for option in ("--send-once", "--no-send-once"):
        load = _measured(files, clients, seconds, option)
        click.echo(f"{option}: {clients} clients, {seconds} s")
        wrong += [f"{option}: {line}" for line in _reported(load)]
        if load.stored > STORE:
            wrong.append(f"{option}: the store holds {load.stored:,} bytes of {STORE:,}")
    for line in wrong:
        click.echo(line, err=True)
    click.echo("all as it should be" if not wrong else "FAILED")
    sys.exit(1 if wrong else 0)


def _measured(files: Sequence[bytes], clients: int, seconds: int, edge: str) -> _Load:
    bounds = ["--store", str(STORE), "--cache", str(STORE)]
    with (
        serving(_model()) as upstream,
        cotam_program("serve", "--upstream", upstream, *bounds) as (gateway, address),
        Link([int(address.rpartition(":")[2])]) as link,
        cotam_program("edge", "--gateway", link.address, edge) as (beside, client),
    ):
        memory: dict[str, list[float]] = {"edge": [], "gateway": []}
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(min(0.5, seconds / 40)):
                memory["edge"].append(_memory(beside.pid))
                memory["gateway"].append(_memory(gateway.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        rows = asyncio.run(_clients(client, files, clients, seconds))
        stop.set()
        watcher.join()
        text = httpx2.get(f"{address}/metrics").text
        stored = re.search(r"^cotam_store_bytes (.*)$", text, re.MULTILINE)
        assert stored
        return _Load(rows, link.sent, memory, int(float(stored[1])))


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
                answer = await client.post("/v1/chat/completions", json=_body([*history, own]))
            except httpx2.HTTPError as error:
                rows.append((type(error).__name__, time.perf_counter() - started))
                continue
            rows.append((answer.status_code, time.perf_counter() - started))
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=address, timeout=300, limits=limits) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))
    return rows


def _reported(load: _Load) -> Iterator[str]:
    """Print what was found, and give what is wrong in words."""
    counts = Counter(str(status) for status, _ in load.rows)
    click.echo(", ".join(f"{count} × {status}" for status, count in sorted(counts.items())))
    times = np.array([taken for status, taken in load.rows if status == 200])
    if errors := set(counts) - {"200", "429"}:
        yield f"errors other than 429: {', '.join(sorted(errors))}"
    if not len(times):
        yield "no request was answered"
        return
    middle, high = np.percentile(times - ANSWER, [50, 95])
    click.echo(
        f"overhead p50 {middle:.2f} s, p95 {high:.2f} s; {load.sent / len(times):,.0f} bytes on the link "
        f"for an answer; {load.stored:,} bytes stored"
    )
    for name, memory in load.memory.items():
        quarters = [float(part.mean()) for part in np.array_split(memory, 4)]
        click.echo(f"{name}, MB by quarters of the time: {', '.join(f'{mean:.0f}' for mean in quarters)}")
        if quarters[3] > GROWTH * quarters[1] + 8:
            yield f"{name}: memory grew from {quarters[1]:.0f} to {quarters[3]:.0f} MB"


def _memory(process: int) -> float:
    """Resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _body(files: Sequence[bytes]) -> dict[str, object]:
    urls = [f"data:image/vnd.cotam;base64,{base64.b64encode(data).decode()}" for data in files]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


def _model() -> Starlette:
    """A model server with one answer."""

    async def chat(request: Request) -> JSONResponse:
        await request.body()
        await asyncio.sleep(ANSWER)
        message = {"role": "assistant", "content": "An answer."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return JSONResponse(head | {"choices": [choice]})

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


if __name__ == "__main__":
    main()
