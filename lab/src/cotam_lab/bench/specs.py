"""Codecs and their qualities as text: the names that commands take, without the codecs' libraries."""

from __future__ import annotations

import json
from typing import Any

from cotam.errors import InputError

__all__ = ["NAMES", "TAILORED", "VIDEO_NAMES", "ladder", "parse_options"]

TAILORED = ("jpeg-tailored", "webp-tailored", "avif-tailored")
NAMES = ("jpeg", "webp", "avif", "avif-psnr", *TAILORED, "cotam")
"""Codecs of `cotam_lab.bench.baselines`."""

VIDEO_NAMES = ("cotam", "cotam no guide", "cotam low delay", "cotam one by one", "x264", "x265", "svt-av1")
"""Codecs of `cotam_lab.bench.video`."""


def parse_options(text: str) -> dict[str, Any]:
    """Parse NAME=VALUE,…: a value is a JSON number, true, false or null, or else a string.

    Raises InputError if an option is not NAME=VALUE.
    """
    settings: dict[str, Any] = {}
    for option in filter(None, text.split(",")):
        name, equals, value = option.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option!r} in {text!r} is not NAME=VALUE")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def ladder(spec: str) -> tuple[str, tuple[int, ...]]:
    """Split a codec with its qualities, such as ``jpeg@5,20,60``, into the name and the rising qualities.

    One quality may also stand among the options: ``jpeg:q=20``, ``cotam:view=human,q=20``.

    Raises InputError if there is no such codec, or a quality is not a whole number from 0 to 100.
    """
    name, at, listed = spec.rpartition("@")
    if not at:
        plain, _, options = spec.partition(":")
        own = options.split(",")
        rest = [option for option in own if not option.startswith("q=")]
        name = f"{plain}:{','.join(rest)}" if any(rest) else plain
        listed = ",".join(option[2:] for option in own if option not in rest)
    plain = name.partition(":")[0]
    if plain not in NAMES:
        raise InputError(f"unknown codec {plain!r}: choose from {', '.join(NAMES)}")
    numbers = listed.split(",") if at or listed else []
    if not all(number.isdecimal() and int(number) <= 100 for number in numbers):
        raise InputError(f"{spec}: qualities are whole numbers from 0 to 100, such as {name}@10,40,80")
    return name, tuple(sorted({int(number) for number in numbers}))
