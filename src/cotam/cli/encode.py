"""``cotam encode``: encode images and videos to .cotam or standard files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import click

from cotam import files
from cotam.api import encode_image, info_of
from cotam.cli import standard, video
from cotam.cli.options import (
    check_json,
    check_together,
    encode_options,
    file_options,
    given_flags,
    message_options,
)
from cotam.cli.progress import prepare_outputs, report_skipped, run
from cotam.errors import InputError
from cotam.options import Options
from cotam.screen import Report, Screen

if TYPE_CHECKING:
    from cotam.image.read import ImageInput

__all__ = ["encode"]

HINT_FROM = 2048
"""Images with no side of this many pixels get no `oversize_hint`: its table of models takes 20 ms to load."""


@click.command()
@encode_options
@standard.standard_options
@video.video_options
@file_options(
    "File, - for standard output, or a folder: one that exists, or a name that ends in a slash. A suffix of "
    ".jpg, .webp, .avif or .png makes a standard file.  [default: IN with the suffix .cotam]"
)
@message_options("Print a line of JSON for each input: sizes, notes, or the error.")
def encode(
    inputs: tuple[str, ...], output: str | None, overwrite: bool, jobs: int, screen: Screen, **options: Any
) -> None:
    """Encode images and videos.

    IN is an image file that Pillow reads, HEIC (extra heic), or - for standard input. The image is turned
    upright and converted to sRGB. For folders use cotam batch.

    With --format, or an OUT in .jpg, .webp, .avif or .png, standard files are written, for models that do
    not open .cotam.

    IN is a video (extra video) if it has the suffix of one, if it is an address or a camera (/dev/video0),
    or if --fps, --max-frames or --frames is given. A video becomes a sequence of frames; of an animated
    image without these options the first frame is encoded.
    """
    check_together(options["target_size"])
    clip = {name: options.pop(name) for name in video.OPTIONS}
    check_json(screen.as_json, inputs, output)
    form, prefilter = standard.format_of(output, options.pop("form")), not options.pop("no_prefilter")
    standard.check(form)
    given = _without_coded(inputs, screen)
    pairs = prepare_outputs(given, output, standard.suffix_of(form), screen)
    sources = files.identities(source for source, _ in pairs)
    videos = video.among([source for source, _ in pairs], clip)
    if videos:
        video.check_together(options, form)
    quality = options["quality"] if any(given_flags(("quality",))) else None
    encoding = _Encoding(form, prefilter, options, sources, overwrite, screen, quality)
    if stills := [pair for pair in pairs if pair[0] not in videos]:
        run(stills, encoding.encode, jobs=jobs, screen=screen)
    if moving := [pair for pair in pairs if pair[0] in videos]:
        video.encode(moving, clip, options, sources, overwrite=overwrite, screen=screen)


def _without_coded(inputs: Sequence[str], screen: Screen) -> list[str]:
    """Leave out .cotam files among several inputs: they are the outputs of an earlier run."""
    if len(inputs) == 1:
        return list(inputs)
    coded = [name for name in inputs if name.lower().endswith(".cotam") and os.path.isfile(name)]
    report_skipped(dict.fromkeys(coded, "is a .cotam file: skipped"), screen)
    kept = [name for name in inputs if name not in coded]
    if not kept:
        raise InputError("all inputs are .cotam files already: cotam decode reads them")
    return kept


@dataclass(frozen=True)
class _Encoding:
    """How images are encoded."""

    form: str  # format of the outputs, one of `standard.FORMATS`
    prefilter: bool  # whether standard files are prefiltered
    options: Mapping[str, Any]  # arguments of `cotam.encode`
    sources: set[tuple[int, int]]  # `files.identities` of all inputs, which are not overwritten
    overwrite: bool
    screen: Screen
    quality: int | None  # as given; None is the default of the format
    hinted: Lock = field(default_factory=Lock)

    def encode(self, source: str, target: str, report: Report) -> None:
        """Encode one image."""
        files.check_output(target, self.sources, overwrite=self.overwrite)
        if os.path.isdir(source):
            raise InputError(f"{source}: is a folder: cotam batch {source} OUT encodes what is in it")
        image = files.image_input(source)
        size = len(image) if isinstance(image, bytes) else os.path.getsize(image)
        write = self._cotam if self.form == "cotam" else self._standard
        data, text, fields = write(source, image, report)
        if len(data) > size:
            report.note(files.growth_note(size, len(data)))
        with report.writing:
            files.write_whole(target, data, overwrite=self.overwrite)
            report.show_result(target, f"{len(data)} bytes, {text}", **fields, bytes_in=size)

    def _cotam(self, source: str, image: ImageInput, report: Report) -> tuple[bytes, str, dict[str, Any]]:
        """Return the file, and its description as text and as fields for JSON."""
        encoded = encode_image(image, Options(**self.options), report.note)
        self._hint(source, *encoded.size)
        data = encoded.file.data
        found = info_of(encoded.file, len(data))
        fields = asdict(found) | {"frames": encoded.frames}
        return data, f"{found.bpp:.3f} bpp", fields

    def _standard(self, source: str, image: ImageInput, report: Report) -> tuple[bytes, str, dict[str, Any]]:
        from cotam.image.read import read_with_notes

        loaded = read_with_notes(image, background=self.options["background"], note=report.note)
        file = standard.make(loaded.pixels, self.form, self.quality, self.prefilter, self.options)
        for text in file.notes:
            report.note(text)
        fields = {"format": self.form, "frames": loaded.frames, "bytes": len(file.data)}
        fields |= {name: getattr(file, name) for name in ("width", "height", "quality")}
        quality = "lossless" if file.quality is None else f"quality {file.quality}"
        return file.data, f"{file.width}×{file.height}, {quality}", fields

    def _hint(self, source: str, width: int, height: int) -> None:
        """Note that an image is larger than models see; once for all inputs."""
        if self.options["fit"] or self.options["max_pixels"] or max(width, height) < HINT_FROM:
            return
        from cotam.image.models import oversize_hint

        hint = oversize_hint(width, height)
        if hint and self.hinted.acquire(blocking=False):
            self.screen.note(f"{source}: {hint}")
