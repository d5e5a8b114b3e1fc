"""``cotam compare``: compare formats at the same number of bytes by features, words and PSNR."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any

import click

from cotam import files
from cotam.cli.options import byte_count, quality_option
from cotam.screen import Screen, columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cotam.compare.table import Row

__all__ = ["compare"]


@click.command()
@click.argument("inputs", metavar="IMAGE...", nargs=-1, required=True)
@quality_option("Quality of the CoTAM file, whose size the other formats get.")
@click.option(
    "--target-size", type=byte_count, metavar="BYTES", help="Size of the CoTAM file, in place of its quality."
)
@click.option("-o", "--output", metavar="OUT.png", help="Write the images side by side.")
@click.option("--files", "folder", metavar="FOLDER", help="Write all compared files here.")
@click.option("--no-overwrite", is_flag=True, help="Do not replace existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per format.")
def compare(
    inputs: tuple[str, ...],
    quality: int,
    target_size: int | None,
    output: str | None,
    folder: str | None,
    no_overwrite: bool,
    as_json: bool,
) -> None:
    """Compare CoTAM with JPEG, WebP and AVIF at the same number of bytes.

    Prints for each format the distance from the original in the features of DINOv2-S, the share of words that
    RapidOCR still reads, PSNR, and the bytes needed for the same feature distance as CoTAM. Metrics whose
    package is not installed are left out, with a note that says how to install it.
    """
    from cotam.compare import features, words
    from cotam.compare.sheet import draw
    from cotam.compare.table import compare as compared
    from cotam.image.read import to_rgb

    if output and os.path.splitext(output)[1].lower() != ".png":
        raise click.UsageError(f"{output}: the sheet is written as PNG: give a name that ends in .png")
    screen = Screen()
    if not features.available():
        screen.note(f"features are not compared; to compare them run: {features.INSTALL}")
    if not words.available():
        screen.note(f"words are not compared; to compare them run: {words.INSTALL}")
    found = []
    for source in inputs:
        with screen.reporting(source):
            pixels = to_rgb(files.image_input(source))
            rows = compared(pixels, quality=quality, target_size=target_size)
            found.append((os.path.basename(source), pixels, rows))
            _print(source, rows, as_json)
            if folder:
                _write(folder, source, rows, overwrite=not no_overwrite)
    if output and found:
        with screen.reporting(output):
            buffer = io.BytesIO()
            draw(found).save(buffer, "PNG", optimize=True)
            files.write_whole(output, buffer.getvalue(), overwrite=not no_overwrite)
            click.echo(f"Side by side: {output}", err=as_json)
    screen.end()


def _print(source: str, rows: Sequence[Row], as_json: bool) -> None:
    if as_json:
        for row in rows:
            click.echo(json.dumps({"file": source} | _numbers(row)))
        return
    click.echo(click.format_filename(source))
    cells = [_cells(row, rows[0]) for row in rows]
    for line in columns([[*cells[0]], *([*row.values()] for row in cells)], numbers=True):
        click.echo(f"  {line}")


def _cells(row: Row, ours: Row) -> dict[str, str]:
    """A row of the table: head of each column → text."""
    cells = {"format": row.format.title, "bytes": f"{len(row.data):,}"}
    if ours.features is not None:
        equal = row.equal_features
        cells["feature distance"] = f"{row.features:.3f}"
        cells["equal features at"] = (
            "no quality" if equal is None else f"{equal:,} ({equal / len(ours.data):.2f} x)"
        )
    if ours.words is not None:
        cells["words read"] = f"{row.words:.0%}"
    return cells | {"PSNR": f"{row.psnr:.1f} dB"}


def _numbers(row: Row) -> dict[str, Any]:
    return {
        "format": row.format.name,
        "bytes": len(row.data),
        "features": row.features,
        "equal_features_bytes": row.equal_features,
        "words": row.words,
        "psnr": row.psnr,
    }


def _write(folder: str, source: str, rows: Sequence[Row], *, overwrite: bool) -> None:
    os.makedirs(folder, exist_ok=True)
    stem = os.path.splitext(os.path.basename(source))[0]
    for row in rows:
        suffix = {"jpeg": "jpg"}.get(row.format.name, row.format.name)
        files.write_whole(os.path.join(folder, f"{stem}.{suffix}"), row.data, overwrite=overwrite)
