"""``cotam guide``: a look at what a guide sees; and the options of all commands that take a guide.

Knows options and files: guides are for `cotam.guide.base`, drawing for ``show``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import click

from cotam import batch, files
from cotam.batch import Screen, describe
from cotam.errors import InputError
from cotam.guide.base import load

__all__ = ["guide", "guide_options"]


def _loaded(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """The name, of a guide that is there: what is wrong with it is said once, not for each picture."""
    try:
        load(name)
    except InputError as error:
        raise click.BadParameter(str(error)) from error
    return name


def guide_options(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--guide`` and what goes with it, as arguments ``guide``, ``guide_strength`` and ``guide_policy``."""
    options = [
        click.option(
            "--guide",
            metavar="NAME",
            callback=_loaded,
            default=default,
            show_default=True,
            help="Where bits are spent: none (evenly), lite, PATH.onnx, or clip:NAME_OR_FOLDER.",
        ),
        click.option(
            "--guide-strength",
            metavar="X",
            type=click.FloatRange(0, 16),
            default=1.0,
            show_default=True,
            help="How much the guide moves: 1 is what suits it.",
        ),
        click.option(
            "--guide-policy",
            type=click.Choice(["log", "ternary"]),
            default="log",
            show_default=True,
            help="log keeps the size that the quality has without a guide; ternary is the paper's rule.",
        ),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group()
def guide() -> None:
    """Look at guides: where bits are spent."""


@guide.command()
@click.argument("source", metavar="IN")
@click.option("-o", "--output", metavar="OUT", required=True, help="PNG file, or - for standard output.")
@click.option(
    "-q",
    "--quality",
    metavar="N",
    type=click.IntRange(0, 100),
    default=50,
    show_default=True,
    help="Of the file whose levels are shown.",
)
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace a file; without it it is.")
@guide_options("lite")
def show(source: str, output: str, quality: int, no_overwrite: bool, **options: Any) -> None:
    """Draw what a guide makes of a picture.

    IN is a picture, or - for standard input. OUT shows its importance as colours over the picture, and beside
    it the levels of its file: a square for 32×32 pixels, in quarter octaves of gain.
    """
    from cotam.guide.show import draw

    if output != files.STANDARD and os.path.splitext(output)[1].lower() != ".png":
        raise click.UsageError(f"{output}: a map is written as PNG: give a name that ends in .png")
    try:
        files.check_output(output, files.identities([source]), overwrite=not no_overwrite)
        image = source if os.path.isfile(source) else files.read_input(source)
        buffer = io.BytesIO()
        draw(image, quality=quality, **options).save(buffer, "PNG")
        files.write_whole(output, buffer.getvalue(), overwrite=not no_overwrite)
    except BrokenPipeError:
        raise
    except batch.ERRORS as error:
        Screen().error(describe(error, source))
        click.get_current_context().exit(1)
