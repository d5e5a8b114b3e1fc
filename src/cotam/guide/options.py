"""The options of all commands that take a guide.

Knows names and ranges: guides are for `cotam.guide.base`.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from cotam.errors import InputError
from cotam.guide.base import load

__all__ = ["guide_options"]


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
