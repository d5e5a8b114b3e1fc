"""``cotam guide``: draw importance and gain offset maps; the lab adds the export of guides."""

from __future__ import annotations

import os
from typing import Any

import click

from cotam import files
from cotam.cli.lab import LabCommand
from cotam.cli.options import PATH, guide_options, option, overwrite_option, quality_option
from cotam.errors import InputError
from cotam.screen import Screen

__all__ = ["guide"]


@click.group()
def guide() -> None:
    """Draw importance maps and export guides.

    A guide decides where bits are spent.
    """


@guide.command()
@click.argument("source", metavar="IN", type=PATH)
@option("-o --output OUT", "PNG file, or - for standard output.", PATH, required=True)
@quality_option("Quality for which gain offsets are shown.")
@overwrite_option
@guide_options
def show(source: str, output: str, quality: int, overwrite: bool, **options: Any) -> None:
    """Draw the importance map and the gain offset map of an image.

    IN is an image, or - for standard input. OUT shows importance as colours over the image, and beside it the
    gain offsets of every 32×32 pixels, in quarter octaves, with the weight set mllm.
    """
    import numpy as np

    from cotam.codec.planes import Grid
    from cotam.codec.shared import codec
    from cotam.guide.draw import draw
    from cotam.image.read import read_with_notes
    from cotam.image.write import save_with_options
    from cotam.options import Options

    if output != files.STANDARD and os.path.splitext(output)[1].lower() != ".png":
        raise click.UsageError(f"{output}: a map is written as PNG: give a name that ends in .png")
    screen = Screen()
    with screen.reporting(source) as report, screen.progress(0):
        files.check_output(output, files.identities([source]), overwrite=overwrite)
        pixels = read_with_notes(files.image_input(source), note=report.note).pixels
        plan = Options(quality=quality, profile="mllm", **options).resolve(pixels)
        if plan.guidance is None:
            raise InputError("guide 'none' has no map to show")
        importance = plan.guidance.importance(pixels)
        allocator = plan.guidance.allocator(importance, (pixels.shape[0], pixels.shape[1]))
        levels = codec().quantise(pixels, quality, allocator)[0].levels
        if levels is None:
            levels = np.zeros(Grid(*pixels.shape[:2]).levels, np.int8)
        drawing = save_with_options(draw(pixels, importance, levels), "PNG")
        files.write_whole(output, drawing, overwrite=overwrite)
    screen.end()


guide.add_command(LabCommand("guide export", "Export a vision encoder as an ONNX guide."))
