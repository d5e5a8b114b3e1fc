"""CoTAM as a codec of the benchmark, with options of `cotam.encode` and `cotam.decode` given as text."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import features

import cotam
from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam.options import guide_digest, weights_digests
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.specs import parse_options

__all__ = ["ours"]

_NAMED = ("profile", "guide", "view")  # in the version even when they have default values
_SET_BY_THE_SWEEP = {"quality", "target_size", "levels", "metadata", "background", "size_limit"}


def _options(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword options of `cotam.encode` or `cotam.decode`, with their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in _SET_BY_THE_SWEEP
    }


def ours(text: str = "") -> Codec:
    """Make a codec from options such as ``profile=base,guide=none,view=human``.

    Values are those of `parse_options`; other options keep the API's defaults.

    Raises InputError if an option does not exist, or its value is invalid.
    """
    encoding, decoding = _options(cotam.encode), _options(cotam.decode)
    defaults = {**encoding, **decoding}
    settings: dict[str, Any] = {name: defaults[name] for name in _NAMED} | parse_options(text)
    if unknown := [name for name in settings if name not in defaults]:
        known = ", ".join(sorted(defaults))
        raise InputError(f"cotam has no option {', '.join(unknown)}: choose from {known}")
    encode = partial(_encode, settings={k: v for k, v in settings.items() if k in encoding})
    decode = partial(_decode, settings={k: v for k, v in settings.items() if k in decoding})
    decode(encode(np.zeros((32, 32, 3), np.uint8), 50))  # fail on invalid values now
    described = [f"{name} {value}" for name, value in settings.items()]
    described.append(f"weights {weights_digests(settings['profile'])}")
    if digest := guide_digest(settings["guide"], settings["profile"]):
        described.append(f"guide file {digest[:12]}")
    # Flat images are coded by libavif.
    described.append(f"cotam {cotam.__version__}, libavif {features.version('avif')}")
    qualities = (0, 5, 14, 23, 32, 41, 50, 59, 68, 77, 86, 95, 100)
    return Codec(f"cotam:{text}" if text else "cotam", encode, decode, qualities, ", ".join(described))


def _encode(pixels: Pixels, quality: int, *, settings: dict[str, Any]) -> bytes:
    return cotam.encode(pixels, quality=quality, **settings)


def _decode(data: bytes, *, settings: dict[str, Any]) -> Pixels:
    return np.array(cotam.decode(data, **settings))
