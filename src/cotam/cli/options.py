"""Options shared by commands, and the types of their values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, get_args

import click
from click.core import ParameterSource

from cotam import files
from cotam.errors import InputError
from cotam.guide.base import load
from cotam.image.write import FORMS
from cotam.options import Effort, Metadata, Profile, View, parse_bytes, parse_pixels
from cotam.screen import Screen

__all__ = [
    "FRAME_RATE",
    "PATH",
    "Finite",
    "Option",
    "byte_count",
    "check_json",
    "check_together",
    "combine",
    "decode_options",
    "encode_options",
    "file_options",
    "fit_option",
    "given_flags",
    "guide_options",
    "message_options",
    "model_name",
    "option",
    "overwrite_option",
    "quality_option",
    "size_limit_option",
    "suffix_conflict",
]

Command = Callable[..., None]
Option = Callable[[Command], Command]


def combine(*options: Option) -> Option:
    """Combine options into one decorator; a command's help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def option(spec: str, help: str, kind: Any = str, default: Any = None, **settings: Any) -> Option:
    """An option with a value.

    Parameters
    ----------
    spec : as in the help: "-q --quality N"; another name for the argument may follow
    kind, default : type and default of the value; None is no default
    settings : further arguments of `click.option`
    """
    words = spec.split()
    metavar = next((word for word in words if word.isupper()), None)
    if default is not None:  # click takes None for a value
        settings["default"] = default
    names = [word for word in words if word != metavar]
    return click.option(*names, metavar=metavar, type=kind, help=help, **settings)


def given_flags(names: Container[str]) -> Iterator[str]:
    """Yield the flags, such as ``--max-pixels``, of options in ``names`` that are on the command line."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name
        if name in names and context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            yield parameter.opts[-1]


def byte_count(text: str) -> int:
    """Parse a number of bytes, as `parse_bytes`."""
    with _bad_parameter():
        return parse_bytes(text)


def _pixel_count(text: str) -> int:
    with _bad_parameter():
        return parse_pixels(text)


@contextmanager
def _bad_parameter() -> Iterator[None]:
    """Report an InputError as an error of the option."""
    try:
        yield
    except InputError as error:
        raise click.BadParameter(str(error)) from error


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
        raise click.UsageError("CoTAM has no lossless mode: for exact pixels use PNG or lossless WebP", ctx)


def _load_guide(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """Load a guide named on the command line, to report an error once instead of for each image."""
    if name != "auto" and ctx.get_parameter_source("guide") != ParameterSource.DEFAULT:
        with _bad_parameter():
            load(name)
    return name


class Finite(click.FloatRange):
    """A finite number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


FRAME_RATE = Finite(0, min_open=True)  # frames a second
PATH = click.Path(readable=False)  # shells complete it; commands report what cannot be read


def model_name(text: str) -> str:
    """Check that a name is in the table of models."""
    from cotam.image import models

    if models.find(text) is None:
        raise click.BadParameter(models.unknown(text))
    return text


def quality_option(help: str, default: int | None = 50) -> Option:
    """``--quality``."""
    return option("-q --quality N", help, click.IntRange(0, 100), default)


def size_limit_option(help: str, default: int = 200) -> Option:
    """``--size-limit``, in megapixels."""
    return option("--size-limit MEGAPIXELS", help, click.IntRange(1), default)


overwrite_option = click.option(
    "--no-overwrite",
    "overwrite",
    is_flag=True,
    callback=lambda ctx, param, given: not given,
    help="Do not replace existing files.",
)
"""``--no-overwrite``, the argument ``overwrite``."""

fit_option = option(
    "--for MODEL fit",
    "Shrink to the size that this model sees. MODEL is a name from cotam models or the model's own, such as "
    "Qwen/Qwen3-VL-8B-Instruct; a level of detail may follow: gpt-4o:low.",
    model_name,
)


guide_options = combine(
    option(
        "--guide NAME",
        "Guide that says where bits are spent: none, text, lite, PATH.onnx or clip:NAME_OR_FOLDER; auto is "
        "text with the weight set mllm, else none.",
        default="auto",
        callback=_load_guide,
    ),
    option("--guide-strength X", "Scale of the guide's gain offsets; 0 is no guidance.", Finite(0, 16), 1.0),
    option(
        "--guide-policy",
        "From importance to gain offsets: log keeps the size of the file, ternary is the paper's rule.",
        click.Choice(["log", "ternary"]),
        "log",
    ),
)
"""``--guide``, ``--guide-strength`` and ``--guide-policy``."""

encode_options = combine(
    quality_option("Higher keeps more, in more bytes."),
    option(
        "--target-size BYTES",
        "Use the highest quality that fits into 20000, 20k or 1.5M bytes. If none fits, shrink the image.",
        byte_count,
    ),
    option(
        "--profile",
        "Weight set: mllm for vision encoders, page for text, base for least squared error. auto is page for "
        "images that are mostly text, else mllm; flat graphics become AV1 or lossless WebP.",
        click.Choice(get_args(Profile)),
        "auto",
    ),
    guide_options,
    option(
        "--metadata KINDS", "Metadata to keep: none, all, or some of exif,icc,xmp.", _metadata_kinds, "none"
    ),
    option("--background COLOUR", "Colour behind transparent pixels: a name or #rrggbb.", _colour, "white"),
    fit_option,
    option("--max-pixels N", "Shrink to at most N pixels: 1000000, 800k or 1.5M.", _pixel_count),
    option(
        "-e --effort",
        "fast takes less time, best makes smaller files.",
        click.Choice(get_args(Effort)),
        "default",
    ),
    click.option("--lossless", is_flag=True, hidden=True, expose_value=False, callback=_refuse_lossless),
)
"""The arguments of `cotam.encode`, except the image."""


def decode_options(format_help: str) -> Option:
    """``form``, ``view`` and ``size_limit``, in megapixels."""
    views = click.Choice(get_args(View))
    return combine(
        option("--format form", format_help, click.Choice(list(FORMS))),
        option("--view", "Decode for vision encoders, or for people.", views, "mllm"),
        size_limit_option("Refuse images with more megapixels."),
    )


def check_together(target_size: int | None) -> None:
    """Refuse ``--quality`` beside ``--target-size`` in the running command."""
    if target_size and any(given_flags(("quality",))):
        raise click.UsageError("--quality and --target-size exclude each other")


# Inputs and outputs


def check_json(as_json: bool, inputs: Sequence[str], output: str | None) -> None:
    """Refuse ``--json`` if the result itself goes to standard output."""
    if as_json and files.STANDARD in (inputs if output is None else [output]):
        raise click.UsageError("--json writes to standard output: give a file with -o")


def suffix_conflict(output: str, form: str) -> click.UsageError:
    """Return the error for an output whose suffix names another format than ``--format``."""
    return click.UsageError(f"{output}: its suffix and --format {form} contradict each other")


def file_options(output: str) -> Option:
    """Inputs, ``--output``, ``--no-overwrite`` and ``--jobs``."""
    return combine(
        click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=PATH),
        option("-o --output OUT", output, PATH),
        overwrite_option,
        option(
            "-j --jobs N",
            "Inputs to process at a time. One already uses all processors most of the time: more gain "
            "little and take more memory.",
            click.IntRange(1),
            lambda: min(os.cpu_count() or 1, 4),
            show_default="number of processors, at most 4",
        ),
    )


def message_options(as_json: str) -> Option:
    """``--strict``, ``--json``, ``--verbose`` and ``--quiet``, which become the argument ``screen``."""
    options = combine(
        click.option(
            "--strict",
            is_flag=True,
            help="Treat notes as errors: fail where something was repaired, left out or grew.",
        ),
        click.option("--json", "as_json", is_flag=True, help=as_json),
        click.option("-v", "--verbose", is_flag=True, help="Print a line for each file written."),
        click.option("--quiet", is_flag=True, help="Print nothing but errors."),
    )

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(strict: bool, as_json: bool, verbose: bool, quiet: bool, **others: Any) -> None:
            screen = Screen(verbose, quiet, strict=strict, as_json=as_json)
            command(screen=screen, **others)
            screen.end()

        return options(run)

    return decorate
