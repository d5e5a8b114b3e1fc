"""``python -m cotam.bench.gateway``: bytes that edge saves, pictures for hosted APIs, a gateway under load.

Knows the gateway as a user does: real processes on loopback, in front of a model server that answers at once
or after a set time, whatever it is asked.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import create_server
from typing import Any

import click
import httpx2
import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import cotam
from cotam.bench.judges import read_text, word_score, words
from cotam.bench.phone import as_phone, is_upright, photographed
from cotam.bench.pictures import plain_pictures
from cotam.bitstream import read_file, write_file
from cotam.image import to_rgb

__all__ = ["main"]


@click.group()
def main() -> None:
    """Measure the gateway on loopback."""


_folder = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
_limit = click.option("--limit", type=click.IntRange(1), help="Take so many pictures, evenly spaced.")


@main.command()
@_folder
@_limit
def link(folder: Path, limit: int | None) -> None:
    """Bytes of requests before and after the edge, for JPEG (quality 85) of the pictures in FOLDER."""
    before = after = 0
    with (
        _model() as model,
        _program("serve", "--upstream", model) as (_, cloud),
        _program("edge", "--gateway", cloud) as (_, edge),
    ):
        click.echo(f"{'picture':<28}{'bytes in':>12}{'bytes out':>12}{'ratio':>8}")
        for picture in plain_pictures(folder, limit):
            answer = _ask(edge, _jpeg(to_rgb(picture.path)))
            bytes_in, bytes_out = map(int, answer.headers["x-cotam-bytes"].split(","))
            before, after = before + bytes_in, after + bytes_out
            click.echo(f"{picture.path.name:<28}{bytes_in:>12,}{bytes_out:>12,}{bytes_in / bytes_out:>8.1f}")
    click.echo(f"{'all':<28}{before:>12,}{after:>12,}{before / after:>8.1f}")


@main.command()
@_folder
@click.option("--limit", type=click.IntRange(1), default=5, show_default=True, help="Photos in the request.")
@click.option(
    "--pages", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of pages."
)
@click.option("--page-limit", type=click.IntRange(1), default=3, show_default=True, help="Photos of --pages.")
@click.option("--max-request-bytes", default="4M", show_default=True, help="As of cotam edge.")
@click.option("--for", "fit", default="claude", show_default=True, help="As of cotam edge.")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for what is sent."
)
def hosted(
    folder: Path,
    limit: int,
    pages: Path | None,
    page_limit: int,
    max_request_bytes: str,
    fit: str,
    out: Path | None,
) -> None:
    """One request with photos of 12 megapixels, made of the pictures in FOLDER, as a hosted API gets it.

    Each is scaled to 4032×3024, and stored lying on its side with an EXIF orientation, as phones do. With
    --pages there are photos of these pages too, of which RapidOCR reads the words before and after.
    """
    tables = [Image.fromarray(to_rgb(picture.path)) for picture in plain_pictures(folder, limit)]
    made = [as_phone(table) for table in tables]
    for number, picture in enumerate(plain_pictures(pages, page_limit) if pages else ()):
        page = Image.fromarray(to_rgb(picture.path))
        made.append(as_phone(photographed(page, tables[number % len(tables)], number)))
    photos = [photo for photo, _ in made]
    seen: list[dict[str, Any]] = []
    options = ["--format", "jpeg", "--for", fit, "--max-request-bytes", max_request_bytes]
    with _model(seen=seen) as model, _program("edge", "--upstream", model, *options) as (_, edge):
        for turn in ("first", "again, one more turn"):
            started = time.perf_counter()
            answer = _ask(edge, *photos)
            seconds = time.perf_counter() - started
            bytes_in, bytes_out = answer.headers["x-cotam-bytes"].split(", ")
            click.echo(f"{turn}: {int(bytes_in):,} bytes in, {int(bytes_out):,} out, {seconds:.2f} s")
    there, read = 0, 0.0
    for number, part in enumerate(seen[0]["messages"][0]["content"]):
        data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
        with Image.open(io.BytesIO(data)) as image:
            said = f"photo {number}: {len(photos[number]):,} bytes -> {len(data):,}, {image.size}"
        said += ", upright" if is_upright(data, made[number][1]) else ", NOT UPRIGHT"
        if number >= len(tables) and (lines := read_text(made[number][1])):
            same = word_score(lines, read_text(to_rgb(data)))
            count = sum(len(words(line)) for line in lines)
            there, read = there + count, read + same.recall * count
            said += f", {same.recall:.1%} of {count} words read as before (precision {same.precision:.1%})"
        click.echo(said)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{number}.sent.jpg").write_bytes(data)
            (out / f"{number}.phone.jpg").write_bytes(photos[number])
    if there:
        click.echo(f"all pages: {read / there:.1%} of {there} words read as before")


@main.command()
@_folder
@click.option("--clients", type=click.IntRange(1), default=64, show_default=True, help="At a time.")
@click.option("--seconds", type=click.IntRange(1), default=120, show_default=True, help="How long.")
@click.option("--answer", type=float, default=0.1, show_default=True, help="Seconds that the model takes.")
@click.option("--max-requests", type=int, default=64, show_default=True, help="As of cotam serve.")
def load(folder: Path, clients: int, seconds: int, answer: float, max_requests: int) -> None:
    """Clients that send .cotam of the pictures in FOLDER, each again as soon as it is answered.

    No two requests have the same bytes, so nothing comes out of the cache. A client that is told 429 waits as
    long as it is told. The overhead is what an answer takes beyond the model's time.
    """
    files = [cotam.encode(picture.path) for picture in plain_pictures(folder, 8)]
    resident: list[int] = []
    stop = threading.Event()
    options = ["--max-requests", str(max_requests)]
    with _model(answer) as model, _program("serve", "--upstream", model, *options) as (program, cloud):
        _ask_cotam(cloud, files)
        watcher = threading.Thread(target=_watch, args=(program.pid, resident, stop))
        watcher.start()
        rows = asyncio.run(_clients(cloud, files, clients, seconds))
        stop.set()
        watcher.join()
    _report(rows, resident, clients, seconds, answer)


def _report(
    rows: Sequence[tuple[int | str, float]],
    resident: Sequence[int],
    clients: int,
    seconds: int,
    answer: float,
) -> None:
    counts = Counter(str(status) for status, _ in rows)
    times = np.array([taken for status, taken in rows if status == 200]) - answer
    click.echo(
        f"{clients} clients, {seconds} s: " + ", ".join(f"{n} × {s}" for s, n in sorted(counts.items()))
    )
    if len(times):
        middle, high = np.percentile(times, [50, 95])
        rate = len(times) / seconds
        click.echo(f"{rate:.1f} answers/s, overhead p50 {middle:.2f} s, p95 {high:.2f} s")
    third = max(1, len(resident) // 3)
    parts = [np.mean(resident[start : start + third]) / 1e6 for start in (0, third, 2 * third)]
    click.echo(f"memory by thirds of the time: {', '.join(f'{part:.0f}' for part in parts)} MB")
    if set(counts) - {"200", "429"}:
        raise click.ClickException("there were errors other than 429")


# Programs and pictures


@contextmanager
def _model(answer: float = 0.0, seen: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """The address of a model server that takes so many seconds, and keeps requests in ``seen``."""

    async def chat(request: Request) -> JSONResponse:
        body = await request.body()
        if seen is not None:
            seen.append(json.loads(body))
        await asyncio.sleep(answer)
        message = {"role": "assistant", "content": "An answer."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return JSONResponse(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        )

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    with create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@contextmanager
def _program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running ``cotam …`` and its address."""
    command = [sys.executable, "-m", "cotam.cli", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr
        lines = program.stderr
        url = json.loads(lines.readline())["url"]
        threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()  # or its pipe fills
        try:
            yield program, url
        finally:
            program.terminate()


def _body(*files: tuple[str, bytes]) -> bytes:
    urls = [f"data:{kind};base64,{base64.b64encode(data).decode()}" for kind, data in files]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def _ask(address: str, *photos: bytes) -> httpx2.Response:
    body = _body(*(("image/jpeg", photo) for photo in photos))
    answer = httpx2.post(f"{address}/v1/chat/completions", content=body, timeout=600)
    if answer.status_code != 200:
        raise click.ClickException(answer.text)
    return answer


def _ask_cotam(address: str, files: Sequence[bytes]) -> None:
    for data in files:
        body = _body(("image/vnd.cotam", data))
        httpx2.post(f"{address}/v1/chat/completions", content=body, timeout=600).raise_for_status()


def _jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


# Load


async def _clients(
    address: str, files: Sequence[bytes], clients: int, seconds: int
) -> list[tuple[int | str, float]]:
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
                answer = await client.post("/v1/chat/completions", content=_body(("image/vnd.cotam", unique)))
            except httpx2.HTTPError as error:
                rows.append((type(error).__name__, time.perf_counter() - started))
                continue
            rows.append((answer.status_code, time.perf_counter() - started))
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=address, timeout=300, limits=limits) as client:
        await asyncio.gather(*(one(number, client) for number in range(clients)))
    return rows


def _watch(process: int, resident: list[int], stop: threading.Event) -> None:
    """Note a process' resident memory twice a second (Linux)."""
    while not stop.wait(0.5):
        status = Path(f"/proc/{process}/status").read_text()
        resident.append(int(status.partition("VmRSS:")[2].split()[0]) * 1024)


if __name__ == "__main__":
    main()
