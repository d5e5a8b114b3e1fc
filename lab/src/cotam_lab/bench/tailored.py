"""Tailored standard files (`cotam.standard.files`) as codecs of the benchmark."""

from __future__ import annotations

import functools
from dataclasses import replace

from cotam.guide.content import Content, examine
from cotam.image.read import Pixels
from cotam.standard import files, jpeg, prefilter
from cotam.standard.files import Format
from cotam_lab.bench.baselines import Codec
from cotam_lab.metrics.base import remember_last_image

__all__ = ["tailored"]


def tailored(plain: Codec, format: Format) -> Codec:
    """Make the codec that tailors what ``plain`` writes, with the importance that ``cotam encode`` finds."""
    return replace(
        plain,
        name=f"{plain.name}-tailored",
        encode=functools.partial(_encode, format=format),
        version=f"{plain.version}; own scans, {jpeg.PHOTO}, {jpeg.PAGE}, {prefilter.OCTAVES:g} octaves",
    )


def _encode(pixels: Pixels, quality: int, *, format: Format) -> bytes:
    content = _content(pixels)
    return files.make(pixels, format, quality, importance=content.importance, page=content.is_page).data


@remember_last_image
def _content(pixels: Pixels) -> Content:
    return examine(pixels)
