"""``cotam decode``: decode .cotam files to images, and sequences to folders or videos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import click

import cotam
from cotam import files
from cotam.cli import video
from cotam.cli.options import check_json, decode_options, file_options, message_options, suffix_conflict
from cotam.cli.progress import prepare_outputs, report_skipped, run
from cotam.errors import InputError
from cotam.format.header import HEADER_BYTES, KIND_BYTES, is_sequence, read_header
from cotam.image.write import FORMS, metadata_notes, save_image
from cotam.options import View
from cotam.screen import Report, Screen

__all__ = ["decode"]


@click.command()
@decode_options("Format of the outputs.  [default: from the suffix of OUT, else png]")
@file_options(
    "File, - for standard output, or a folder: one that exists, or a name that ends in a slash.  "
    "[default: IN with .png added to its name]"
)
@message_options("Print a line of JSON for each input: sizes, notes, or the error.")
def decode(
    inputs: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    jobs: int,
    screen: Screen,
    form: str | None,
    view: View,
    size_limit: int,
) -> None:
    """Decode .cotam files to images.

    IN is a file, or - for standard input. PNG, TIFF, BMP, PPM and WebP outputs are lossless; JPEG and AVIF
    have quality 95. PNG, JPEG, WebP and AVIF keep the metadata of the file.

    A sequence becomes a folder of images named by their times in seconds (IN.frames by default), or a video
    if OUT ends in .mp4.
    """
    check_json(screen.as_json, inputs, output)
    decoding = _Decoding(output, form, view, size_limit * 1_000_000, overwrite, screen)
    if len(inputs) > 1:
        pairs = prepare_outputs(inputs, output, decoding.suffix, screen, keep_suffix_beside=True)
        pairs = decoding.without_frame_folders(pairs)
        run(pairs, decoding.decode_one_of_many, jobs=jobs, screen=screen)
    else:
        with screen.reporting(inputs[0]) as report, screen.progress(0):
            decoding.decode_only(inputs[0], report)


@dataclass(frozen=True)
class _Decoding:
    """How files are decoded; ``output`` and ``form`` are those of the command line."""

    output: str | None
    form: str | None
    view: View
    size_limit: int
    overwrite: bool
    screen: Screen

    @property
    def suffix(self) -> str:
        return f".{self.form or 'png'}"

    def decode_only(self, source: str, report: Report) -> None:
        """Decode the only input: an image to a file, or a sequence to a folder or video."""
        with _opened(source) as (is_frames, file):
            if is_frames:
                target = video.target_of(source, self.output, self.form)
            else:
                ((_, target),) = prepare_outputs(
                    [source], self.output, self.suffix, self.screen, keep_suffix_beside=True
                )
            self._decode(file, is_frames, source, target, report)

    def decode_one_of_many(self, source: str, target: str, report: Report) -> None:
        """Decode one of several inputs: an image to a file, or a sequence to a folder."""
        with _opened(source) as (is_frames, file):
            if is_frames:
                target = f"{target.removesuffix(self.suffix)}.frames"
            self._decode(file, is_frames, source, target, report)

    def without_frame_folders(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Leave out inputs that are folders of frames which an earlier run wrote for other inputs."""
        folders = {os.path.abspath(f"{target.removesuffix(self.suffix)}.frames") for _, target in pairs}
        skipped = [name for name, _ in pairs if os.path.isdir(name) and os.path.abspath(name) in folders]
        report_skipped(dict.fromkeys(skipped, "is the output of another input: skipped"), self.screen)
        return [pair for pair in pairs if pair[0] not in skipped]

    def _decode(self, file: BinaryIO, is_frames: bool, source: str, target: str, report: Report) -> None:
        if is_frames:
            options = {"view": self.view, "size_limit": self.size_limit}
            video.decode(file, source, target, self.form or "png", options, report, overwrite=self.overwrite)
            return
        files.check_output(target, files.identities([source]), overwrite=self.overwrite)
        form = form_of(target, self.form)
        data = files.read_pipe(file)
        decoded = cotam.decode(data, view=self.view, size_limit=self.size_limit)
        image = save_image(decoded, form)
        for text in metadata_notes(decoded, form):
            report.note(text)
        width, height = decoded.size
        sizes = {"bytes": len(image), "bytes_in": len(data), "width": width, "height": height}
        with report.writing:
            files.write_whole(target, image, overwrite=self.overwrite)
            report.show_result(
                target, f"{len(data)} bytes, {8 * len(data) / (width * height):.3f} bpp", **sizes
            )


@contextmanager
def _opened(source: str) -> Iterator[tuple[bool, BinaryIO]]:
    """Open an input: yield whether it is a sequence, and a stream of its bytes."""
    if os.path.isdir(source):
        raise InputError(f"{source}: is a folder: cotam batch {source} OUT --decode decodes what is in it")
    with files.reading(source) as file:
        head = file.read(KIND_BYTES)
        if not (is_frames := is_sequence(head)):
            head += file.read(HEADER_BYTES)
            read_header(head)  # so that another file is refused before all of it is read
        yield is_frames, cast("BinaryIO", files.Prefixed(head, file))


def form_of(target: str, given: str | None) -> str:
    """Return the format of an output: ``given``, or by its suffix, or PNG for a pipe or device."""
    suffix = os.path.splitext(target)[1][1:].lower()
    named = {"jpeg": "jpg", "tif": "tiff"}.get(suffix, suffix)
    if given and named in (*FORMS, "cotam") and named != given:
        raise suffix_conflict(target, given)
    if given or named in FORMS:
        return given or named
    if target == files.STANDARD or (os.path.exists(target) and not os.path.isfile(target)):
        return "png"
    raise click.UsageError(f"{target}: the suffix is none of {', '.join(FORMS)}: give one, or --format")
