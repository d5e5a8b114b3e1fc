"""``cotam compare``: compare formats at the same number of bytes by features, words and PSNR."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click

import cotam
from cotam import files
from cotam.cli.options import PATH, byte_count, check_together, overwrite_option, quality_option
from cotam.cli.progress import prepare_outputs
from cotam.screen import Screen, align_columns, show, shown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cotam.compare.table import Row

__all__ = ["compare"]


@click.command()
@click.argument("inputs", metavar="IMAGE...", nargs=-1, required=True, type=PATH)
@quality_option("Quality of the CoTAM file, whose size the other formats get.")
@click.option(
    "--target-size", type=byte_count, metavar="BYTES", help="Size of the CoTAM file, in place of its quality."
)
@click.option("-o", "--output", type=PATH, metavar="OUT.png", help="Write the images side by side.")
@click.option("--files", "folder", type=PATH, metavar="FOLDER", help="Write all compared files here.")
@overwrite_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per format, or one with the error."
)
def compare(
    inputs: tuple[str, ...],
    quality: int,
    target_size: int | None,
    output: str | None,
    folder: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare CoTAM, JPEG, WebP and AVIF at equal file size.

    Prints for each format the distance from the original in the features of DINOv2-S, the share of words that
    RapidOCR still reads, PSNR, and the bytes needed for the same feature distance as CoTAM. Metrics whose
    package is not installed are left out, with a note that says how to install it.
    """
    check_together(target_size)
    from cotam.compare.sheet import draw
    from cotam.compare.table import compare as compare_formats
    from cotam.image.read import read_with_notes
    from cotam.image.write import save_with_options

    if output is not None and os.path.splitext(output)[1].lower() != ".png":
        raise click.UsageError(f"{output}: the sheet is written as PNG: give a name that ends in .png")
    screen = Screen()
    pairs = [(source, "") for source in inputs]
    if folder is not None:
        pairs = prepare_outputs(inputs, os.path.join(folder, ""), ".cotam", screen)
    check = partial(files.check_output, sources=files.identities(inputs), overwrite=overwrite)
    if output:
        check(output)
    found = []
    for source, target in pairs:
        rows: Sequence[Row] = ()
        with screen.reporting(source) as report, screen.progress(0):
            targets = _targets(target) if target else {}
            for one in targets.values():
                check(one)
            pixels = read_with_notes(files.image_input(source), note=report.note).pixels
            rows = compare_formats(pixels, quality=quality, target_size=target_size)
            coded = cotam.info(rows[0].data)
            if (coded.height, coded.width) != pixels.shape[:2]:
                report.note(f"shrunk to {coded.width}×{coded.height} to fit, and compared at its full size")
            found.append((os.path.basename(source), pixels, rows))
            for row in rows if targets else ():
                files.write_whole(targets[row.format.name], row.data, overwrite=overwrite)
        if rows:
            _print(source, rows, as_json)
        if as_json and report.fields:
            show(json.dumps({"file": source, **report.fields, "notes": report.notes}))
    if found:
        _note_missing_metrics(screen)
    if output and found:
        with screen.reporting(output):
            sheet = save_with_options(draw(found), "PNG", optimize=True)
            files.write_whole(output, sheet, overwrite=overwrite)
            click.echo(f"Side by side: {output}", err=as_json)
    screen.end()


def _note_missing_metrics(screen: Screen) -> None:
    from cotam.compare import features, words

    for what, metric in (("features", features), ("words", words)):
        if not metric.available():
            screen.note(f"{what} are not compared; to compare them run: {metric.INSTALL}")


def _print(source: str, rows: Sequence[Row], as_json: bool) -> None:
    if as_json:
        for row in rows:
            show(json.dumps({"file": source} | _numbers(row)))
        return
    show(click.format_filename(shown_name(source)))
    cells = [_cells(row, rows[0]) for row in rows]
    for line in align_columns([[*cells[0]], *([*row.values()] for row in cells)], numbers=True):
        show(f"  {line}")


def _cells(row: Row, ours: Row) -> dict[str, str]:
    """Return a row of the table: column head → text."""
    cells = {"format": row.format.title, "bytes": f"{len(row.data):,}"}
    if ours.features is not None:
        equal = row.equal_features
        cells["feature distance"] = f"{row.features:.3f}"
        cells["bytes for equal features"] = (
            "not reached" if equal is None else f"{equal:,} ({equal / len(ours.data):.2f} x)"
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


def _targets(target: str) -> dict[str, str]:
    """Return the output of each format, name → path, beside that of CoTAM."""
    from cotam.compare.formats import COTAM, installed_formats

    stem = target.removesuffix("cotam")
    return {one.name: stem + one.suffix for one in (COTAM, *installed_formats())}
