"""The command line: ``cotam encode``, ``decode`` and ``info``, and the groups of the extras.

Knows options and exit codes (0 done, 1 failed, 2 wrong usage, 130 interrupted): pictures are for `cotam.api`,
files for `cotam.files`. Numpy, Pillow and ONNX Runtime are imported by the commands that use them.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

import cotam
from cotam import batch, cli_video, files
from cotam.api import Metadata, Profile, View
from cotam.batch import HEADER_BYTES, Screen, describe
from cotam.bitstream import read_header
from cotam.cli_info import info
from cotam.errors import InputError, MissingExtraError
from cotam.guide.options import guide_options
from cotam.profiles import Fit

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["byte_count", "main"]

_SAVED_AS: dict[str, tuple[str, dict[str, Any]]] = {
    # Level 1 takes a third of the time of Pillow's 6, for a file a tenth larger.
    "png": ("PNG", {"compress_level": 1}),
    "jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    "webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
}
_METADATA_KEYS = ("exif", "icc_profile", "xmp")
_OTHER_SUFFIXES = {"jpeg": "jpg", "tif": "tiff"}


class _Program(click.Group):
    """What goes wrong is one line, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click ends quietly
        except batch.ERRORS as error:
            Screen().error(describe(error))
            ctx.exit(1)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cotam.__version__, "-V", "--version", message="cotam %(version)s")
def main() -> None:
    """Pictures for multimodal LLMs in a few kB."""


# Options


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


def _file_options(output: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Inputs, outputs and messages of a command that writes one file for each input."""
    options = [
        click.argument("inputs", metavar="IN...", nargs=-1, required=True),
        click.option("-o", "--output", metavar="OUT", help=output),
        click.option("--no-overwrite", is_flag=True, help="Refuse to replace files; without it they are."),
        click.option(
            "-j",
            "--jobs",
            metavar="N",
            type=click.IntRange(1),
            default=lambda: min(os.cpu_count() or 1, 4),
            show_default="number of processors, at most 4",
            help="Inputs at a time.",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Say what was written."),
        click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# Files


def _planned(inputs: Sequence[str], output: str | None, suffix: str, **rule: bool) -> list[str]:
    """As `files.plan_outputs`, with the folder made; binary data are kept off the terminal."""
    try:
        outputs = files.plan_outputs(inputs, output, suffix, **rule)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if files.STANDARD in outputs and sys.stdout.isatty():
        raise click.UsageError("standard output is a terminal: give an output with -o, or redirect it")
    files.make_folder(output)
    return outputs


def _form_of(target: str) -> str:
    """Format of an output, by its suffix; PNG for what has none by nature, such as a pipe."""
    suffix = os.path.splitext(target)[1][1:].lower()
    form = _OTHER_SUFFIXES.get(suffix, suffix)
    if form in _SAVED_AS:
        return form
    if target == files.STANDARD or (os.path.exists(target) and not os.path.isfile(target)):
        return "png"
    raise click.UsageError(f"{target}: the suffix is none of {', '.join(_SAVED_AS)}: give one, or --format")


def _saved(picture: Image.Image, form: str) -> bytes:
    """The bytes of a picture file, with the metadata that `cotam.decode` left in ``info``."""
    from PIL import PngImagePlugin

    pillow_format, options = _SAVED_AS[form]
    metadata: dict[str, Any] = {key: picture.info[key] for key in _METADATA_KEYS if key in picture.info}
    if form == "png" and "xmp" in metadata:
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.pop("xmp").decode("utf-8", "replace"))
    buffer = io.BytesIO()
    try:
        picture.save(buffer, pillow_format, **options, **metadata)
    except (OSError, ValueError) as error:  # sides or metadata too large for the format
        raise InputError(f"cannot be saved as {pillow_format}: {error}") from error
    return buffer.getvalue()


# Commands


@main.command()
@click.option(
    "-q",
    "--quality",
    metavar="N",
    type=click.IntRange(0, 100),
    default=50,
    show_default=True,
    help="Higher is better, and larger.",
)
@click.option(
    "--target-size", type=byte_count, metavar="BYTES", help="Highest quality that fits: 20000, 20k or 1.5M."
)
@click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    default="mllm",
    show_default=True,
    help="Weights: tuned for vision encoders, or trained for squared error alone.",
)
@guide_options("none")
@click.option(
    "--metadata",
    type=_metadata_kinds,
    metavar="KINDS",
    default="none",
    show_default=True,
    help="What to keep: none, all, or some of exif,icc,xmp.",
)
@click.option(
    "--background",
    metavar="COLOUR",
    type=_colour,
    default="white",
    show_default=True,
    help="Put behind transparent pixels: a name or #rrggbb.",
)
@click.option(
    "--for",
    "fit",
    metavar="MODEL",
    type=click.Choice(get_args(Fit)),
    help=f"Shrink to what this model can use: {', '.join(get_args(Fit))}.",
)
@click.option("--max-pixels", metavar="N", type=click.IntRange(1), help="Shrink to at most so many pixels.")
@cli_video.video_options
@click.option("--lossless", is_flag=True, hidden=True, expose_value=False, callback=_refuse_lossless)
@_file_options(
    "File, - for standard output, or a folder: one that exists, or a name that ends in a slash.  "
    "[default: beside IN, with the suffix .cotam]"
)
def encode(
    inputs: tuple[str, ...],
    output: str | None,
    no_overwrite: bool,
    jobs: int,
    verbose: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Encode pictures and videos.

    IN is a picture of any format that Pillow reads, or - for standard input. It is turned upright and
    converted to sRGB; of an animation the first frame is taken.

    IN is taken for a video, which needs the extra video, if its suffix says so, if it is an address or a
    camera (/dev/video0), or if --fps, --max-frames or --frames is given: it becomes a sequence of frames.
    """
    clip = {name: options.pop(name) for name in cli_video.OPTIONS}
    given = click.get_current_context().get_parameter_source("quality") == ParameterSource.COMMANDLINE
    if given and options["target_size"]:
        raise click.UsageError("--quality and --target-size exclude each other")
    outputs = _planned(inputs, output, ".cotam")
    screen = Screen(verbose, quiet)
    if cli_video.wanted(inputs, clip):
        done = cli_video.encode(inputs, outputs, clip, options, overwrite=not no_overwrite, screen=screen)
        click.get_current_context().exit(0 if done else 1)

    def convert(source: str, target: str) -> tuple[bytes, bytes]:
        from cotam.image import frame_count

        image = source if os.path.isfile(source) else files.read_input(source)  # a pipe can be read only once
        if (frames := frame_count(image)) > 1:
            screen.note(f"{source}: the first of {frames} frames is encoded")
        data = cotam.encode(image, **options)
        return data, data

    if not batch.run(inputs, outputs, convert, jobs=jobs, overwrite=not no_overwrite, screen=screen):
        click.get_current_context().exit(1)


@main.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_SAVED_AS)),
    help="Of the outputs.  [default: by the suffix of OUT, else png]",
)
@click.option(
    "--view",
    type=click.Choice(get_args(View)),
    default="mllm",
    show_default=True,
    help="For vision encoders, or for people.",
)
@click.option(
    "--size-limit",
    metavar="MEGAPIXELS",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Refuse larger pictures.",
)
@_file_options(
    "File, - for standard output, or a folder: one that exists, or a name that ends in a slash.  "
    "[default: beside IN, with .png added to its name]"
)
def decode(
    inputs: tuple[str, ...],
    output: str | None,
    no_overwrite: bool,
    jobs: int,
    verbose: bool,
    quiet: bool,
    form: str | None,
    view: View,
    size_limit: int,
) -> None:
    """Decode .cotam files to pictures.

    IN is a file, or - for standard input. PNG, TIFF, BMP, PPM and WebP are written without further loss, JPEG
    and AVIF with quality 95. Metadata that the file carries are kept by PNG, JPEG, WebP and AVIF.

    A sequence of frames is decoded to a folder of pictures named by their seconds, IN.frames if no other is
    given, or to OUT.mp4.
    """
    screen = Screen(verbose, quiet)
    limit = size_limit * 1_000_000
    if any(cli_video.holds_sequence(source) for source in inputs):
        if len(inputs) > 1:
            raise click.UsageError("a sequence of frames is decoded by a command of its own")
        done = cli_video.decode(
            inputs[0],
            output,
            lambda picture: _saved(picture, form or "png"),
            form or "png",
            view=view,
            size_limit=limit,
            overwrite=not no_overwrite,
            screen=screen,
        )
        click.get_current_context().exit(0 if done else 1)
    outputs = _planned(inputs, output, f".{form or 'png'}", keep_suffix_beside=True)
    forms = {target: form or _form_of(target) for target in outputs}

    def convert(source: str, target: str) -> tuple[bytes, bytes]:
        data = files.read_input(source, HEADER_BYTES, read_header)
        picture = cotam.decode(data, view=view, size_limit=limit)
        return _saved(picture, forms[target]), data

    if not batch.run(inputs, outputs, convert, jobs=jobs, overwrite=not no_overwrite, screen=screen):
        click.get_current_context().exit(1)


main.add_command(info)


# Groups of the extras

_EXTRAS = {
    "bench": ("cotam.bench.cli", "bench", "Measure codecs beside each other (extra bench)."),
    "analyze": ("cotam.analysis.cli", "bench", "Study what compression breaks (extra bench)."),
    "guide": ("cotam.guide.cli", "guide", "Make guides, which say where bits are spent, and look at them."),
    "train": ("cotam.train.__main__", "train", "Train the codec (extra train)."),
    "serve": ("cotam.gateway.cli", "serve", "Take .cotam in front of a model server (extra serve)."),
    "edge": ("cotam.gateway.cli", "serve", "Send small pictures from a client (extra serve)."),
}
"""Command → its module, which is imported when the command is run, the extra that it needs, and its help."""


def _add_passing_on(name: str, module: str, extra: str, text: str) -> None:
    """Add a command that hands its whole command line to the command ``name``, or ``main``, of a module."""

    def run(ctx: click.Context, arguments: tuple[str, ...]) -> None:
        try:
            found = importlib.import_module(module)
            command: click.Command = getattr(found, name, None) or found.main
            with command.make_context(name, list(arguments), parent=ctx.parent) as inner:
                command.invoke(inner)
        except ModuleNotFoundError as error:
            if not error.name or error.name.partition(".")[0] == "cotam":
                raise
            raise MissingExtraError(extra, error.name) from error

    passed_on = {"ignore_unknown_options": True, "help_option_names": []}
    command = click.command(name, context_settings=passed_on, add_help_option=False, help=text)
    arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    main.add_command(command(arguments(click.pass_context(run))))


for _name, _about in _EXTRAS.items():
    _add_passing_on(_name, *_about)


if __name__ == "__main__":
    main(prog_name="cotam")
