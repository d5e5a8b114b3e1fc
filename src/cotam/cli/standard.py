"""``cotam encode -o OUT.jpg``: standard files for models that do not open .cotam."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from cotam.cli import video
from cotam.cli.options import Option, combine, given_flags, option, suffix_conflict

if TYPE_CHECKING:
    from cotam.image.read import Pixels
    from cotam.standard.files import Format, StandardFile

__all__ = ["FORMATS", "SUFFIXES", "check", "format_of", "make", "standard_options", "suffix_of"]

# Not imported from `cotam.standard.files`, which needs NumPy and Pillow: help and usage errors do not.
FORMATS = ("cotam", "jpeg", "webp", "avif", "png")
SUFFIXES = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".avif": "avif",
    ".png": "png",
    ".cotam": "cotam",
}
_COTAM_ONLY = ("profile", "effort", "guide_strength", "guide_policy", "metadata")

standard_options: Option = combine(
    option(
        "--format form",
        "Format of the outputs: .cotam, or a standard format, for which --quality is on its own scale.  "
        "[default: from the suffix of OUT, else cotam]",
        click.Choice(FORMATS),
    ),
    click.option(
        "--no-prefilter",
        is_flag=True,
        help="Standard files: do not filter pixels or tune settings for models.",
    ),
)


def format_of(output: str | None, form: str | None) -> str:
    """Return the format that ``--format`` or the suffix of the output names, else "cotam".

    Raises click.UsageError if the suffix names another one.
    """
    suffix = os.path.splitext(output or "")[1].lower()
    named = SUFFIXES.get(suffix)
    if named and form and named != form:
        raise suffix_conflict(str(output), form)
    form = form or named or "cotam"
    if suffix and not named:
        from cotam.datasets.conversion import IMAGE_SUFFIXES

        if suffix in (*IMAGE_SUFFIXES, *video.SUFFIXES):
            raise click.UsageError(
                f"{output}: {suffix} files are not written: choose from .cotam, .jpg, .webp, .avif and .png"
            )
    return form


def suffix_of(form: str) -> str:
    """Return the suffix of files of a format."""
    return next(suffix for suffix, one in SUFFIXES.items() if one == form)


def check(form: str) -> None:
    """Refuse options on the command line that files of a format do not take."""
    if form == "cotam":
        if any(given_flags(("no_prefilter",))):
            raise click.UsageError("--no-prefilter is for standard files: give --format")
        return
    for flag in given_flags(_COTAM_ONLY):
        raise click.UsageError(f"{flag} is for .cotam files: a {form} file does not take it")
    if form == "png" and any(given_flags(("quality",))):
        raise click.UsageError("PNG is lossless and has no --quality: give --target-size, or another format")


def make(
    pixels: Pixels, form: str, quality: int | None, prefilter: bool, options: Mapping[str, Any]
) -> StandardFile:
    """Encode pixels, uint8 (H, W, 3), as a standard file, with the ``options`` of `cotam.encode`."""
    from cotam.guide.base import load
    from cotam.guide.content import examine
    from cotam.guide.multiscale import importance
    from cotam.image.fit import shrink_to_fit
    from cotam.standard import files as standard

    pixels = shrink_to_fit(pixels, options["fit"], options["max_pixels"])
    given: dict[str, Any] = {"target_size": options["target_size"], "prefilter": prefilter}
    if prefilter:
        content = examine(pixels)
        given |= {"importance": content.importance, "page": content.is_page}
        if options["guide"] not in ("auto", "lite"):
            guide = load(options["guide"])
            given["importance"] = importance(guide, pixels) if guide else None
    return standard.make(pixels, cast("Format", form), quality, **given)
