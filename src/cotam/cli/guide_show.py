"""``cotam guide show``: a look at what a guide makes of a picture.

Knows options and files: the drawing is for ``draw``.
"""

from __future__ import annotations

import io
import os
from typing import Any

import click

from cotam import files
from cotam.cli.options import guide_options, quality_option
from cotam.errors import InputError
from cotam.screen import Screen

__all__ = ["show"]


@click.command()
@click.argument("source", metavar="IN")
@click.option("-o", "--output", metavar="OUT", required=True, help="PNG file, or - for standard output.")
@quality_option("Of the file whose levels are shown.")
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace a file; without it it is.")
@guide_options("lite")
def show(source: str, output: str, quality: int, no_overwrite: bool, **options: Any) -> None:
    """Draw what a guide makes of a picture.

    IN is a picture, or - for standard input. OUT shows its importance as colours over the picture, and beside
    it the levels of its file: a square for 32×32 pixels, in quarter octaves of gain.
    """
    import numpy as np

    from cotam.codec.planes import Grid
    from cotam.codec.shared import codec
    from cotam.guide.draw import draw
    from cotam.image.read import to_rgb
    from cotam.options import Options

    if output != files.STANDARD and os.path.splitext(output)[1].lower() != ".png":
        raise click.UsageError(f"{output}: a map is written as PNG: give a name that ends in .png")
    screen = Screen()
    with screen.reporting(source):
        files.check_output(output, files.identities([source]), overwrite=not no_overwrite)
        image = source if os.path.isfile(source) else files.read_input(source)
        buffer = io.BytesIO()
        pixels = to_rgb(image)
        plan = Options(quality=quality, profile="mllm", **options).resolve(pixels)
        if plan.guidance is None:
            raise InputError("guide 'none' has no map to show: bits are spread evenly")
        importance = plan.guidance.importance(pixels)
        allocation = plan.guidance.allocation(importance, (pixels.shape[0], pixels.shape[1]))
        levels = codec().quantise(pixels, quality, allocation)[0].levels
        if levels is None:
            levels = np.zeros(Grid(*pixels.shape[:2]).levels, np.int8)
        draw(pixels, importance, levels).save(buffer, "PNG")
        files.write_whole(output, buffer.getvalue(), overwrite=not no_overwrite)
    if screen.failed:
        click.get_current_context().exit(1)
