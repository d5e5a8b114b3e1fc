"""The options of all commands that encode or decode.

Knows names, ranges and what may not be combined: pictures are for `cotam.api`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import click
from click.core import ParameterSource

from cotam.api import Metadata, Profile, View
from cotam.guide.options import guide_options
from cotam.profiles import Fit
from cotam.saving import FORMS

__all__ = ["byte_count", "check_together", "decode_options", "encode_options"]

Command = Callable[..., None]


def byte_count(text: str) -> int:
    """An option's number of bytes: 20000, 20k or 1.5M."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)B?", text, re.IGNORECASE)
    size = round(float(found[1]) * {"": 1, "k": 1e3, "m": 1e6}[found[2].lower()]) if found else 0
    if size < 1:
        raise click.BadParameter(f"{text!r} is not a number of bytes such as 20000, 20k or 1.5M")
    return size


def _metadata_kinds(text: str) -> list[str]:
    known = list(get_args(Metadata))
    kinds = {"none": [], "all": known}.get(text, text.split(","))
    if not set(kinds) <= set(known):
        raise click.BadParameter(f"{text!r} is not none, all or some of {','.join(known)}")
    return kinds


def _colour(text: str) -> str:
    from PIL import ImageColor

    with suppress(ValueError):
        if len(ImageColor.getrgb(text)) == 3:
            return text
    raise click.BadParameter(f"{text!r} is not a colour name or #rrggbb")


def _refuse_lossless(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        raise click.UsageError("Cotam has no lossless mode: for exact pixels use PNG or lossless WebP", ctx)


_ENCODE: list[Callable[[Command], Command]] = [
    click.option(
        "-q",
        "--quality",
        metavar="N",
        type=click.IntRange(0, 100),
        default=50,
        show_default=True,
        help="Higher is better, and larger.",
    ),
    click.option(
        "--target-size",
        type=byte_count,
        metavar="BYTES",
        help="Highest quality that fits: 20000, 20k or 1.5M.",
    ),
    click.option(
        "--profile",
        type=click.Choice(get_args(Profile)),
        default="mllm",
        show_default=True,
        help="Weights: tuned for vision encoders, or trained for squared error alone.",
    ),
    guide_options("none"),
    click.option(
        "--metadata",
        type=_metadata_kinds,
        metavar="KINDS",
        default="none",
        show_default=True,
        help="What to keep: none, all, or some of exif,icc,xmp.",
    ),
    click.option(
        "--background",
        metavar="COLOUR",
        type=_colour,
        default="white",
        show_default=True,
        help="Put behind transparent pixels: a name or #rrggbb.",
    ),
    click.option(
        "--for",
        "fit",
        metavar="MODEL",
        type=click.Choice(get_args(Fit)),
        help=f"Shrink to what this model can use: {', '.join(get_args(Fit))}.",
    ),
    click.option(
        "--max-pixels", metavar="N", type=click.IntRange(1), help="Shrink to at most so many pixels."
    ),
    click.option("--lossless", is_flag=True, hidden=True, expose_value=False, callback=_refuse_lossless),
]
_DECODE: list[Callable[[Command], Command]] = [
    click.option(
        "--format",
        "form",
        type=click.Choice(list(FORMS)),
        help="Of the outputs.  [default: by the suffix of OUT, else png]",
    ),
    click.option(
        "--view",
        type=click.Choice(get_args(View)),
        default="mllm",
        show_default=True,
        help="For vision encoders, or for people.",
    ),
    click.option(
        "--size-limit",
        metavar="MEGAPIXELS",
        type=click.IntRange(1),
        default=200,
        show_default=True,
        help="Refuse larger pictures.",
    ),
]


def encode_options(command: Command) -> Command:
    """The arguments of `cotam.encode` but its picture."""
    return _with(_ENCODE, command)


def decode_options(command: Command) -> Command:
    """``form``, ``view`` and ``size_limit``, in megapixels."""
    return _with(_DECODE, command)


def check_together(options: dict[str, Any]) -> None:
    """Refuse the `encode_options` of the running command that exclude each other."""
    given = click.get_current_context().get_parameter_source("quality") == ParameterSource.COMMANDLINE
    if given and options["target_size"]:
        raise click.UsageError("--quality and --target-size exclude each other")


def _with(options: list[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
