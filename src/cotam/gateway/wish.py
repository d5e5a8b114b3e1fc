"""What a client asks for in headers or in the query: ``X-Cotam-Quality: 40``, ``?quality=40``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cotam.gateway.jobs import Wish
from cotam.gateway.refusal import RefusedError
from cotam.gateway.sizing import is_fit
from cotam.gateway.tokens import TOKEN_HEADER
from cotam.image import models

__all__ = ["STILL", "wish_in_headers", "wish_in_query"]

STILL = ("quality", "target_size", "for", "max_pixels")
"""What can be asked for an image."""

_ALL = (*STILL, "fps", "max_frames")


def wish_in_headers(headers: Mapping[str, str]) -> Wish:
    """The wish in headers ``X-Cotam-…``; other headers, and the token, are left alone.

    Raises
    ------
    RefusedError
        for an unknown name, a value out of range or not a number, or two that exclude each other
    """
    given = {name: text for name, text in headers.items() if name.startswith("x-cotam-")}
    given.pop(TOKEN_HEADER, None)
    return _wish(given, {name: f"x-cotam-{name.replace('_', '-')}" for name in _ALL})


def wish_in_query(query: Mapping[str, str], names: Sequence[str]) -> Wish:
    """The wish in a query that may have some of these names, and no others. Raises as `wish_in_headers`."""
    return _wish(query, {name: name for name in names})


def _wish(given: Mapping[str, str], spelled: Mapping[str, str]) -> Wish:
    known = [*spelled.values()]
    for name in given:
        if name not in known:
            there = f"use {', '.join(known)}" if known else "there are no options here"
            raise RefusedError(f"{name!r} is unknown: {there}", param=name)

    def number(name: str, low: int, high: int) -> int | None:
        return _number(given, spelled.get(name, ""), low, high)

    fit_name = spelled.get("for", "")
    fit = given.get(fit_name)
    if fit is not None and not is_fit(fit):
        raise RefusedError(f"{fit_name}: {models.unknown(fit)}", param=fit_name)
    wish = Wish(
        quality=number("quality", 0, 100),
        target_size=number("target_size", 1, 1 << 40),
        fit=fit,
        max_pixels=number("max_pixels", 1, 1 << 40),
        fps=_rate(given, spelled.get("fps", "")),
        max_frames=number("max_frames", 0, 1 << 20),
    )
    if wish.quality is not None and wish.target_size is not None:
        both = f"{spelled['quality']} and {spelled['target_size']}"
        raise RefusedError(f"{both} exclude each other", param=spelled["quality"])
    return wish


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
        raise RefusedError(f"{name} must be a whole number from {low} to {high}, got {text!r}", param=name)
    return int(text)
