"""``python -m cotam_lab.bench.gateway``: bytes that edge saves, and pictures for hosted APIs.

Knows the gateway as a user does: real processes on loopback (`cotam_lab.bench.service`).
"""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import Any

import click
import httpx2
import numpy as np
from PIL import Image

from cotam.image.read import to_rgb
from cotam_lab.bench.phone import as_phone, is_upright, photographed
from cotam_lab.bench.pictures import plain_pictures
from cotam_lab.bench.service import body_of, cotam_program, model_server
from cotam_lab.metrics.pictures import read_text, word_score, words

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
        model_server([]) as model,
        cotam_program("serve", "--upstream", model) as (_, cloud),
        cotam_program("edge", "--gateway", cloud) as (_, edge),
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
    with model_server(seen) as model, cotam_program("edge", "--upstream", model, *options) as (_, edge):
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


def _ask(address: str, *photos: bytes) -> httpx2.Response:
    body = body_of(*(("image/jpeg", photo) for photo in photos))
    answer = httpx2.post(f"{address}/v1/chat/completions", content=body, timeout=600)
    if answer.status_code != 200:
        raise click.ClickException(answer.text)
    return answer


def _jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
