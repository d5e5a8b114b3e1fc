"""``python -m cotam_lab.bench.gateway_load``: a gateway under load, and what it does when others fail it.

Knows the gateway as a user does: a real process on loopback (`cotam_lab.bench.service`). Needs Linux: memory and
processor time of the gateway are read from /proc.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import httpx2
import numpy as np

import cotam
from cotam.format.header import read_file, write_file
from cotam_lab.bench.load import Sample, growth, sample, table
from cotam_lab.bench.pictures import plain_pictures
from cotam_lab.bench.service import SECONDS, body_of, cotam_program, model_program

__all__ = ["main"]

CHAT = "/v1/chat/completions"
COTAM = "image/vnd.cotam"
LEAVERS = 16
"""Clients that go before they are answered."""

ENOUGH = 1000
"""Answers after which memory is judged: the gateway's cache of 128 MB is full in the first quarter."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clients", type=click.IntRange(1), default=64, show_default=True, help="At a time.")
@click.option("--seconds", type=click.IntRange(1), default=120, show_default=True, help="How long.")
@click.option("--answer", type=float, default=0.1, show_default=True, help="Seconds that the model takes.")
@click.option("--max-requests", type=int, default=64, show_default=True, help="As of cotam serve.")
def main(folder: Path, clients: int, seconds: int, answer: float, max_requests: int) -> None:
    """Clients that send .cotam of the pictures in FOLDER, each again as soon as it is answered.

    No two requests have the same bytes, so nothing comes out of the cache. A client that is told 429 waits as
    long as it is told. The overhead is what an answer takes beyond the model's time. Then hostile files are
    sent, clients go before they are answered, and the model server is killed. Exit code 1 if anything is not
    as it should be.
    """
    files = [cotam.encode(picture.path) for picture in plain_pictures(folder, 8)]
    options = ["--max-requests", str(max_requests)]
    with (
        model_program(answer) as (model, upstream),
        cotam_program("serve", "--upstream", upstream, *options) as (gateway, address),
        httpx2.Client(base_url=address, timeout=300) as client,
    ):
        for data in files:
            while (found := _post(client, data)).status_code == 429:  # the one before is just being let go
                time.sleep(float(found.headers["retry-after"]))
            found.raise_for_status()
        wrong = [
            *_load(gateway.pid, address, files, clients, seconds, answer),
            *_hostile(gateway.pid, client, files),
            *_left(client, upstream, files[0]),
            *_killed(client, model.kill, files[0]),
        ]
    for line in wrong:
        click.echo(line, err=True)
    click.echo("all as it should be" if not wrong else "FAILED")
    sys.exit(1 if wrong else 0)


def _post(client: httpx2.Client, data: bytes, **headers: str) -> httpx2.Response:
    return client.post(CHAT, content=body_of((COTAM, data)), headers=headers)


# Each of these prints what it found, and gives what is wrong in words.


def _load(
    process: int, address: str, files: Sequence[bytes], clients: int, seconds: int, answer: float
) -> Iterator[str]:
    samples: list[Sample] = []
    stop, started = threading.Event(), time.monotonic()

    def watch() -> None:
        while True:
            samples.append(sample(started, process))
            if stop.wait(min(0.5, seconds / 40)):
                break

    watcher = threading.Thread(target=watch)
    watcher.start()
    spent = _processor_seconds(process)
    rows = asyncio.run(_clients(address, files, clients, seconds))
    spent = _processor_seconds(process) - spent
    stop.set()
    watcher.join()
    counts = Counter(str(status) for status, _ in rows)
    click.echo(
        f"{clients} clients, {seconds} s: " + ", ".join(f"{n} × {s}" for s, n in sorted(counts.items()))
    )
    times = np.array([taken for status, taken in rows if status == 200]) - answer
    if len(times):
        middle, high = np.percentile(times, [50, 95])
        click.echo(
            f"{len(times) / seconds:.1f} answers/s, overhead p50 {middle:.2f} s, p95 {high:.2f} s; "
            f"{1e3 * spent / len(times):.0f} ms of processor an answer"
        )
    first, last = samples[0], samples[-1]
    click.echo(f"memory at the start {first.memory / 1e6:.0f} MB, at the end {last.memory / 1e6:.0f} MB")
    click.echo(table(samples))
    if errors := set(counts) - {"200", "429"}:
        yield f"errors other than 429: {', '.join(sorted(errors))}"
    if not len(times):
        yield "no request was answered"
    if len(times) >= ENOUGH:
        yield from growth(samples)
    else:
        click.echo(f"whether memory grows is judged from {ENOUGH} answers on: a cache fills first")


async def _clients(
    address: str, files: Sequence[bytes], clients: int, seconds: int
) -> list[tuple[int | str, float]]:
    """Status, or the name of an error, and seconds of each request."""
    rows: list[tuple[int | str, float]] = []
    parsed = [read_file(data) for data in files]
    until = time.perf_counter() + seconds

    async def one(number: int, client: httpx2.AsyncClient) -> None:
        turn = 0
        while time.perf_counter() < until:
            turn += 1
            mark = f"{number} {turn}".encode()
            unique = write_file(replace(parsed[(number + turn) % len(parsed)], metadata={"xmp": mark}))
            started = time.perf_counter()
            try:
                answer = await client.post(CHAT, content=body_of((COTAM, unique)))
            except httpx2.HTTPError as error:
                rows.append((type(error).__name__, time.perf_counter() - started))
                continue
            rows.append((answer.status_code, time.perf_counter() - started))
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=address, timeout=300, limits=limits) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))
    return rows


def _hostile(process: int, client: httpx2.Client, files: Sequence[bytes]) -> Iterator[str]:
    """Files that claim too much, are cut off or changed: each is answered 400, at a cost that is said."""
    file = read_file(files[0])
    honest = write_file(replace(file, metadata={"xmp": b"honest"}))

    def claims(width: int, height: int) -> bytes:
        return write_file(replace(file, header=replace(file.header, width=width, height=height)))

    def flipped(at: float) -> bytes:
        data = bytearray(files[0])
        data[int(at * len(data))] ^= 0x55
        return bytes(data)

    sent = {
        "honest": [honest],
        "claims 3600 MP": [claims(60_000, 60_000)],
        "claims 50 MP, the limit": [claims(7071, 7071)],
        "cut off": [files[0][: len(files[0]) * part // 8] for part in range(1, 8)],
        "one byte changed": [flipped(part / 8) for part in range(1, 8)],
    }
    for what, variants in sent.items():
        statuses, worst = set(), 0.0
        for data in variants:
            before = _processor_seconds(process)
            statuses.add(_post(client, data).status_code)
            worst = max(worst, _processor_seconds(process) - before)
        said = ", ".join(map(str, sorted(statuses)))
        click.echo(f"hostile files, {what}: {said}, {worst:.2f} s of processor at most")
        if statuses != {200 if what == "honest" else 400}:
            yield f"hostile files, {what}: answered {said}"
    memory = sample(time.monotonic(), process).memory
    click.echo(f"memory after hostile files {memory / 1e6:.0f} MB")


def _left(client: httpx2.Client, upstream: str, data: bytes) -> Iterator[str]:
    """Clients that go while the model thinks: their requests end, at the model too."""
    gone_before = _given_up(upstream)
    body = body_of((COTAM, data))

    async def leave() -> None:
        limits = httpx2.Timeout(60, read=2)
        async with httpx2.AsyncClient(base_url=client.base_url, timeout=limits) as leaver:
            asked = [leaver.post(CHAT, content=body, headers={SECONDS: "60"}) for _ in range(LEAVERS)]
            await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(leave())
    started = time.perf_counter()
    freed = _until(lambda: _requests_running(client) == 0 and _given_up(upstream) == gone_before + LEAVERS)
    taken, still = time.perf_counter() - started, _requests_running(client)
    given_up = _given_up(upstream) - gone_before
    click.echo(
        f"{LEAVERS} clients left: {still} requests still run in the gateway after {taken:.1f} s, "
        f"{given_up} were given up at the model"
    )
    if not freed:
        yield "clients that left did not free their work"


def _killed(client: httpx2.Client, kill: Callable[[], None], data: bytes) -> Iterator[str]:
    """The model server is killed, while it thinks and before the next request."""
    found: list[httpx2.Response] = []
    asked = threading.Thread(target=lambda: found.append(_post(client, data, **{SECONDS: "60"})))
    asked.start()
    time.sleep(2)
    kill()
    asked.join()
    found.append(_post(client, data))
    for when, answer in zip(("while it thinks", "before a request"), found, strict=True):
        text = answer.json()["error"]["message"] if answer.status_code >= 400 else ""
        click.echo(f"model server killed {when}: {answer.status_code}, {text!r}")
        if answer.status_code != 502:
            yield f"model server killed {when}: answered {answer.status_code}"


def _requests_running(client: httpx2.Client) -> int:
    for line in client.get("/metrics").text.splitlines():
        name, _, value = line.partition(" ")
        if name == "cotam_requests_running":
            return int(float(value))
    raise click.ClickException("/metrics does not say how many requests run")


def _given_up(upstream: str) -> int:
    return int(httpx2.get(f"{upstream}/v1/counts").json()["given_up"])


def _until(done: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.perf_counter() + seconds
    while not (found := done()) and time.perf_counter() < end:
        time.sleep(0.1)
    return found


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
