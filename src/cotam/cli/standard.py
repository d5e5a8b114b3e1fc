"""``cotam encode -o OUT.jpg``: standard files for models that do not open .cotam."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from cotam import files
from cotam.cli.options import Option, given_flags, together
from cotam.screen import Report

__all__ = ["FORMATS", "SUFFIXES", "Writing", "format_of", "standard_options", "suffix_of"]

# As `cotam.image.standard` has them, which imports NumPy and Pillow: usage errors and help do without.
FORMATS = ("cotam", "jpeg", "webp", "avif", "png")
SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif", ".png": "png"}
_COTAM_ONLY = ("profile", "effort", "guide_strength", "guide_policy", "metadata")

standard_options: Option = together(
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        help="Of the outputs: .cotam, or a standard file made for models; its --quality is the format's own. "
        " [default: by the suffix of OUT, else cotam]",
    ),
    click.option(
        "--no-prefilter",
        "prefilter",
        is_flag=True,
        default=True,
        flag_value=False,
        help="Standard files: plain settings, and pixels as they are.",
    ),
)


def format_of(output: str | None, form: str | None) -> str:
    """The format that ``--format`` names, or the suffix of the output; "cotam" where neither does."""
    named = SUFFIXES.get(os.path.splitext(output or "")[1].lower())
    if named and form and named != form:
        raise click.UsageError(f"{output}: its suffix and --format {form} contradict each other")
    return form or named or "cotam"


def suffix_of(form: str) -> str:
    """Return the suffix of files of a format."""
    return next(suffix for suffix, one in SUFFIXES.items() if one == form)


@dataclass
class Writing:
    """How standard files are written.

    Attributes
    ----------
    form : one of `FORMATS`, not "cotam"
    prefilter : see `cotam.image.standard.encode`
    options : arguments of `cotam.encode`
    overwrite : replace files

    Raises
    ------
    click.UsageError
        If an option was given that the format does not take.
    """

    form: Any
    prefilter: bool
    options: Mapping[str, Any]
    overwrite: bool

    def __post_init__(self) -> None:
        for flag in given_flags(_COTAM_ONLY):
            raise click.UsageError(f"{flag} is for .cotam files: a {self.form} file does not take it")
        self.quality = self.options["quality"] if any(given_flags(("quality",))) else None
        if self.form == "png" and self.quality is not None:
            raise click.UsageError(
                "PNG is lossless and has no --quality: give --target-size, or another format"
            )

    def write(self, source: str, target: str, report: Report) -> None:
        """Write the file of one image."""
        from cotam.image.fit import fitted
        from cotam.image.read import read_image
        from cotam.image.standard import make

        files.check_output(target, files.identities([source]), overwrite=self.overwrite)
        image = source if os.path.isfile(source) else files.read_input(source)
        loaded = read_image(image, background=self.options["background"])
        for text in loaded.notes:
            report.note(text)
        pixels = fitted(loaded.pixels, self.options["fit"], self.options["max_pixels"])
        importance, page = self._importance(pixels)
        file = make(
            pixels,
            self.form,
            self.quality,
            target_size=self.options["target_size"],
            importance=importance,
            page=page,
            prefilter=self.prefilter,
        )
        for text in file.notes:
            report.note(text)
        files.write_whole(target, file.data, overwrite=self.overwrite)
        quality = "lossless" if file.quality is None else f"quality {file.quality}"
        report.written(
            target,
            f"{len(file.data)} bytes, {file.width}×{file.height}, {quality}",
            format=self.form,
            width=file.width,
            height=file.height,
            quality=file.quality,
            bytes=len(file.data),
        )

    def _importance(self, pixels: Any) -> tuple[Any, bool]:
        """Return the importance map, None if none is used, and whether the image is a page."""
        from cotam.guide.base import load
        from cotam.guide.content import examine
        from cotam.guide.multiscale import importance

        if not self.prefilter:
            return None, False
        content = examine(pixels)
        if self.options["guide"] in ("auto", "lite"):
            return content.importance, content.is_page
        guide = load(self.options["guide"])
        return importance(guide, pixels) if guide else None, content.is_page
