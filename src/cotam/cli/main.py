"""The command line: ``cotam encode``, ``decode`` and ``info``, and the groups of the extras.

Knows options and exit codes (0 done, 1 failed, 2 wrong usage, 130 interrupted): pictures are for `cotam.api`,
files for `cotam.files`. Numpy, Pillow and ONNX Runtime are imported by the commands that use them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, BinaryIO

import click

import cotam
from cotam import files
from cotam.api import encode_image
from cotam.cli import lab, progress, video
from cotam.cli.batch import batch_folder
from cotam.cli.compare import compare
from cotam.cli.info import info
from cotam.cli.models import models
from cotam.cli.options import Option, check_together, decode_options, encode_options, together
from cotam.errors import FormatError, MissingExtraError
from cotam.format.header import HEADER_BYTES, KIND_BYTES, is_sequence, read_header
from cotam.image.write import FORMS, saved
from cotam.options import Options, View
from cotam.screen import ERRORS, Screen, describe

__all__ = ["main"]

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
        except ERRORS as error:
            Screen().error(describe(error))
            ctx.exit(1)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cotam.__version__, "-V", "--version", message="cotam %(version)s")
def main() -> None:
    """Pictures for multimodal LLMs in a few kB."""


# Files


def _file_options(output: str) -> Option:
    """Inputs, outputs and messages of a command that writes one file for each input."""
    return together(
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
    )


def _planned(inputs: Sequence[str], output: str | None, suffix: str, **rule: bool) -> list[str]:
    """As `files.plan_outputs`, with the folder made; binary data are kept off the terminal."""
    try:
        outputs = files.plan_outputs(inputs, output, suffix, **rule)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if files.STANDARD in outputs and sys.stdout and sys.stdout.isatty():
        raise click.UsageError("standard output is a terminal: give an output with -o, or redirect it")
    files.make_folder(output)
    return outputs


def _form_of(target: str, given: str | None) -> str:
    """Format of an output, ``given`` or by its suffix; PNG for what has none by nature, such as a pipe."""
    named = _form_named(target)
    if named and given and named != given:
        raise click.UsageError(f"{target}: its suffix and --format {given} contradict each other")
    if form := given or named:
        return form
    if target == files.STANDARD or (os.path.exists(target) and not os.path.isfile(target)):
        return "png"
    raise click.UsageError(f"{target}: the suffix is none of {', '.join(FORMS)}: give one, or --format")


def _form_named(target: str) -> str | None:
    """The format of pictures that a file's suffix says."""
    suffix = os.path.splitext(target)[1][1:].lower()
    form = _OTHER_SUFFIXES.get(suffix, suffix)
    return form if form in FORMS else None


def _end(screen: Screen) -> None:
    """End the command: by exit code 1 if an input failed."""
    if screen.failed:
        click.get_current_context().exit(1)


# Commands


@main.command()
@encode_options
@video.video_options
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
    check_together(options)
    clip = {name: options.pop(name) for name in video.OPTIONS}
    outputs = _planned(inputs, output, ".cotam")
    for target in outputs:
        if _form_named(target) and not files.identities([target]) & files.identities(inputs):
            raise click.UsageError(f"{target}: what is written is .cotam: give a name that ends so")
    screen = Screen(verbose, quiet)
    if video.wanted(inputs, clip):
        video.encode(inputs, outputs, clip, options, overwrite=not no_overwrite, screen=screen)
        return _end(screen)

    sized, hinted = options["fit"] or options["max_pixels"], Lock()

    def convert(source: str, target: str) -> tuple[bytes, bytes]:
        from cotam.image.models import oversize_hint
        from cotam.image.read import read_image, warn_of

        given = Options(**options)
        image = source if os.path.isfile(source) else files.read_input(source)  # a pipe can be read only once
        loaded = read_image(image, background=given.background, keep=given.kept_metadata, count_frames=True)
        warn_of(loaded, image)
        if loaded.frames > 1:
            screen.note(f"{source}: the first of {loaded.frames} frames is encoded")
        height, width = loaded.pixels.shape[:2]
        hint = None if sized else oversize_hint(width, height)
        if hint and hinted.acquire(blocking=False):  # once for all inputs
            screen.note(f"{source}: {hint}")
        encoded = encode_image(loaded, given)
        if encoded.is_shrunk:
            (width, height), file = encoded.size, encoded.file
            screen.note(f"{source}: shrunk from {width}×{height} to {file.width}×{file.height} to fit")
        return encoded.file.data, encoded.file.data

    progress.run(inputs, outputs, convert, jobs=jobs, overwrite=not no_overwrite, screen=screen)
    _end(screen)


@main.command()
@decode_options
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
    screen, limit = Screen(verbose, quiet), size_limit * 1_000_000

    def pictures(opened: Callable[[str], AbstractContextManager[BinaryIO]]) -> None:
        outputs = _planned(inputs, output, f".{form or 'png'}", keep_suffix_beside=True)
        forms = {target: _form_of(target, form) for target in outputs}

        def convert(source: str, target: str) -> tuple[bytes, bytes]:
            with opened(source) as file:
                data = files.read_checked(file, HEADER_BYTES, _check_picture)
            return saved(cotam.decode(data, view=view, size_limit=limit), forms[target]), data

        progress.run(inputs, outputs, convert, jobs=jobs, overwrite=not no_overwrite, screen=screen)

    if len(inputs) > 1:
        pictures(files.reading)
    else:
        with files.reading(inputs[0]) as file:
            head = file.read(KIND_BYTES)
            begun = files.put_back(head, file)
            if is_sequence(head):
                video.decode(
                    begun,
                    inputs[0],
                    output,
                    form or "png",
                    view=view,
                    size_limit=limit,
                    overwrite=not no_overwrite,
                    screen=screen,
                )
            else:
                pictures(lambda _: nullcontext(begun))
    _end(screen)


def _check_picture(head: bytes) -> None:
    if is_sequence(head):
        raise FormatError("it is a sequence of frames: give it alone, without other files")
    read_header(head)


main.add_command(info)
main.add_command(models)
main.add_command(compare)
main.add_command(batch_folder)


# Groups of the extras

_EXTRAS = {
    "guide": ("cotam.cli.guide", "serve", "Look at importance maps, and make guides."),
    "serve": ("cotam.cli.gateway", "serve", "Take .cotam in front of a model server (extra serve)."),
    "edge": ("cotam.cli.gateway", "serve", "Send small pictures from a client (extra serve)."),
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
for _name, _summary in lab.COMMANDS.items():
    main.add_command(lab.stub(_name, _summary))


if __name__ == "__main__":
    main(prog_name="cotam")
