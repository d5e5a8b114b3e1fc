"""Options of a request in headers (``X-Cotam-Quality: 40``) or a query (``?quality=40``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from cotam.errors import InputError
from cotam.gateway import log
from cotam.gateway.access_tokens import TOKEN_HEADER
from cotam.gateway.refusal import RefusedError
from cotam.image import models
from cotam.image.models import Model
from cotam.options import parse_bytes, parse_pixels

__all__ = [
    "STILL",
    "RequestOptions",
    "model_for",
    "name_with_detail",
    "options_in_headers",
    "options_in_query",
]

AUTO, NONE = "auto", "none"
"""In place of a model's name: the model that the request names; no model, so that images keep their size."""

STILL = ("quality", "target_size", "for", "max_pixels")
"""Options for an image."""


@dataclass(frozen=True)
class RequestOptions:
    """Encoding options of a request; None is the default of the codec. The last two are for videos.

    ``fit`` is the name of a model, "auto" or "none".
    """

    quality: int | None = None
    target_size: int | None = None
    fit: str | None = None
    max_pixels: int | None = None
    fps: float | None = None
    max_frames: int | None = None

    def for_encode(self) -> dict[str, Any]:
        """Return the arguments of `cotam.encode`."""
        names = ("quality", "target_size", "fit", "max_pixels")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "target_size" in given:
            given.pop("quality", None)
        if self.fit in (AUTO, NONE):
            given.pop("fit")
        return given

    def over(self, other: RequestOptions) -> RequestOptions:
        """Return these options, with those of ``other`` where they are None; a quality overrides its size."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if "quality" in given and "target_size" not in given:
            given["target_size"] = None
        return replace(other, **given)


def options_in_headers(headers: Mapping[str, str]) -> RequestOptions:
    """Read the options in headers ``X-Cotam-…``, except the token.

    Raises RefusedError for an unknown name, a value that is not valid, or two options that exclude each
    other.
    """
    given = {name: text for name, text in headers.items() if name.startswith("x-cotam-")}
    given.pop(TOKEN_HEADER, None)
    return _options(given, {f"x-cotam-{name.replace('_', '-')}": name for name in _PARSERS})


def options_in_query(query: Mapping[str, str], names: Iterable[str]) -> RequestOptions:
    """Read the options in a query that may only have these names. Raises as `options_in_headers`."""
    return _options(query, {name: name for name in names})


def _options(given: Mapping[str, str], meanings: Mapping[str, str]) -> RequestOptions:
    """Parse options; ``meanings`` maps their names as spelled to those of `_PARSERS`."""
    found: dict[str, Any] = {}
    for name, text in given.items():
        if name not in meanings:
            there = f"use {', '.join(meanings)}" if meanings else "there are no options here"
            raise RefusedError(f"{name!r} is unknown: {there}", param=name)
        meaning = meanings[name]
        try:
            found["fit" if meaning == "for" else meaning] = _PARSERS[meaning](text)
        except InputError as error:
            raise RefusedError(f"{name}: {error}", param=name) from error
    if "quality" in found and "target_size" in found:
        quality, size = (name for name, meaning in meanings.items() if meaning in ("quality", "target_size"))
        raise RefusedError(f"{quality} and {size} exclude each other", param=quality)
    return RequestOptions(**found)


def _whole_number(high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,15}", text) or int(text) > high:
            raise InputError(f"{text!r} is not a whole number from 0 to {high}")
        return int(text)

    return parse


def _frame_rate(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text) or not float(text):
        raise InputError(f"{text!r} is not a number of frames a second, such as 0.5")
    return float(text)


def _model_name(text: str) -> str:
    if text not in (AUTO, NONE):
        models.get(text)
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    "quality": _whole_number(100),
    "target_size": parse_bytes,
    "for": _model_name,
    "max_pixels": parse_pixels,
    "fps": _frame_rate,
    "max_frames": _whole_number(1 << 20),
}


# Models


def model_for(fit: str | None, requested: str | None) -> Model | None:
    """Return the model to whose size images are shrunk; None keeps sizes.

    ``fit`` is that of `RequestOptions`, ``requested`` the model that the request names.
    """
    if fit is None or fit == NONE:
        return None
    if fit != AUTO:
        return models.find(fit)
    found = models.find(requested) if requested else None
    if requested and found is None:
        _tell_unknown(requested[:200])
    return found


@lru_cache(maxsize=1000)  # once for a name
def _tell_unknown(name: str) -> None:
    log.warning("unknown model: its images keep their size", model=name, reason=models.unknown(name))


def name_with_detail(model: Model, detail: str | None) -> str:
    """Return the name of a model for `cotam.encode`, with the level of detail if the model has it."""
    level = model.level(detail)
    return model.name if level == "auto" else f"{model.name}:{level}"
