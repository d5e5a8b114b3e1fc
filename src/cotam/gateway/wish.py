"""What a client asks for in headers or in the query: ``X-Cotam-Quality: 40``, ``?quality=40``.

Knows names and numbers: nothing of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast, get_args

from cotam.gateway.convert import RefusedError, Wish
from cotam.profiles import Fit

__all__ = ["read_wish"]


def read_wish(given: Mapping[str, str], prefix: str = "x-cotam-") -> Wish:
    """The wish in the names below, each after the prefix.

    Raises
    ------
    RefusedError
        if one is out of range, or no number
    """
    fit = given.get(f"{prefix}for")
    if fit is not None and fit not in get_args(Fit):
        raise RefusedError(
            f"{prefix}for: {fit!r} is none of {', '.join(get_args(Fit))}", param=f"{prefix}for"
        )
    return Wish(
        quality=_number(given, f"{prefix}quality", 0, 100),
        target_size=_number(given, f"{prefix}target-size", 1, 1 << 40),
        fit=cast("Fit | None", fit),
        max_pixels=_number(given, f"{prefix}max-pixels", 1, 1 << 40),
        fps=_rate(given, f"{prefix}fps"),
        max_frames=_number(given, f"{prefix}max-frames", 0, 1 << 20),
    )


def _rate(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text) or not float(text):
        raise RefusedError(f"{name}: {text!r} is not a number of frames a second, such as 0.5", param=name)
    return float(text)


def _number(given: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 15 or not low <= int(text) <= high:
        raise RefusedError(f"{name}: {text!r} is not a whole number from {low} to {high}", param=name)
    return int(text)
