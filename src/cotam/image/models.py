"""Models by name: the image size that each one sees, its visual tokens, and the limits of its API.

>>> from cotam.image import models
>>> model = models.get("claude-opus-4-7")
>>> model.size_for(4032, 3024), model.tokens(4032, 3024)
((2212, 1659), 4740)

The table is ``models.json``, which is shared with other languages; docs/models.md describes it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from cotam.errors import InputError
from cotam.image import sizes, tilings
from cotam.image.sizes import Seen, Size, fit_box

__all__ = [
    "Limits",
    "Model",
    "Patches",
    "Server",
    "Source",
    "all_models",
    "find",
    "get",
    "oversize_hint",
    "servers",
    "unknown",
]

_STRETCH = 0.05
"""Largest change of the aspect ratio of an image to send, as a logarithm."""

_MIN_SAVED = 0.05
"""Least share of the pixels for which an image is shrunk: resampled flat graphics take more bytes."""

_LONGEST_NAME = 200

_SCALES = (1, 1.02, 1.05, 1.1, 1.2, 1.4)
"""Scales to try if a model does not keep an image of the size that it sees."""


Rule = Callable[[int, int], Seen]
"""Width and height of an image in pixels → what the model sees: a function of `sizes` or `tilings`."""


@dataclass(frozen=True)
class Patches:
    """A limit of an API: ``count`` patches of ``size`` × ``size`` pixels."""

    size: int
    count: int


@dataclass(frozen=True)
class Limits:
    """The limits of an API; None where no limit is known."""

    image_bytes: int | None = None  # largest image in bytes
    base64_counted: bool = False  # whether ``image_bytes`` counts base64 text, 4 bytes for 3 of the file
    request_bytes: int | None = None  # largest request in bytes
    images: int | None = None  # largest number of images in a request
    side: int | None = None  # largest side of an image in pixels
    # in a request of more than ``many_images``, the largest side is ``many_side``
    many_images: int | None = None
    many_side: int | None = None
    patches: Patches | None = None  # largest number of patches of an image

    @property
    def file_bytes(self) -> int | None:
        """Largest file of an image in bytes."""
        if self.image_bytes is None or not self.base64_counted:
            return self.image_bytes
        return self.image_bytes // 4 * 3

    def side_for(self, images: int) -> int | None:
        """Return the largest side, in pixels, in a request of this many images, earlier turns included."""
        if self.many_images is not None and images > self.many_images:
            return self.many_side
        return self.side


@dataclass(frozen=True)
class Source:
    """The source of a part of a row."""

    of: str  # "size", "tokens", "budget" or "limits"
    source: str  # code, document or configuration
    verified: bool  # whether the source was read
    note: str = ""  # for users, or ""


@dataclass(frozen=True)
class Model:
    """A family of models."""

    name: str  # as typed
    title: str  # as printed
    hosted: bool  # whether it is used through the API of its vendor
    aliases: tuple[str, ...]  # other names
    # image formats that the API reads, such as "png"; None depends on the server
    formats: tuple[str, ...] | None
    limits: Limits  # of the API
    sources: tuple[Source, ...]  # of these data
    detail: str = "auto"  # level of detail of requests that name none
    _rules: Mapping[str, Rule] = field(default_factory=dict, repr=False, compare=False)
    _boxes: Mapping[str, Rule] = field(default_factory=dict, repr=False, compare=False)

    @property
    def details(self) -> tuple[str, ...]:
        """Levels of detail of the model; "auto" is always one."""
        return tuple(self._rules)

    @property
    def verified(self) -> bool:
        """Whether every source was read."""
        return all(source.verified for source in self.sources)

    def size_for(self, width: int, height: int, detail: str | None = None, *, images: int = 1) -> Size:
        """Return a smaller size that gives the model the same view as the whole image. Never enlarges.

        An image that would lose less than a twentieth of its pixels keeps its size, within the limits.

        Parameters
        ----------
        width, height : size of the upright image, in pixels
        detail : level of detail of the request, see `level`
        images : number of images in the request, earlier turns included, on which some limits depend
        """
        level = self.level(detail)
        if level in self._boxes:
            size = self._boxes[level](width, height).size
        else:
            size = _same_view(self._rules[level], width, height)
        if size[0] * size[1] > (1 - _MIN_SAVED) * width * height:
            size = width, height
        side = self.limits.side_for(images)
        return fit_box(*size, side)

    def see(self, width: int, height: int, detail: str | None = None) -> Seen:
        """Return the size of the encoder's input, which may be enlarged, and the visual tokens."""
        return self._rules[self.level(detail)](width, height)

    def tokens(self, width: int, height: int, detail: str | None = None) -> int | None:
        """Return the number of visual tokens of an image; None if the rule is unknown."""
        return self.see(width, height, detail).tokens

    def level(self, detail: str | None) -> str:
        """Return the level of a request's ``detail``; one that the model does not have counts as "auto"."""
        level = (detail or self.detail).lower().removeprefix("media_resolution_")
        return level if level in self._rules else "auto"


@dataclass(frozen=True)
class Server:
    """A server of open models."""

    name: str  # as typed
    title: str  # as printed
    formats: tuple[str, ...] | None  # image formats that it reads; None for all that Pillow reads
    opens_cotam: bool  # whether it reads .cotam files if cotam is installed beside it
    note: str  # for the documentation
    flags: str  # what to run or set for it, for the documentation


def find(name: str) -> Model | None:
    """Find a model by any name that servers and APIs use; None if it is unknown.

    A level of detail may follow: "gpt-4o:low", "gemma-4:1120". The name that a cloud
    uses gives the limits of that cloud: "anthropic.claude-opus-4-7-v1:0" is that of Bedrock.
    """
    typed = name.strip().lower()
    if len(typed) > _LONGEST_NAME:
        return None
    if ":" in typed:
        base, _, level = typed.rpartition(":")
        model = _find(base)
        if model and level in model.details:
            return replace(model, detail=level)
    return _find(typed)


def get(name: str) -> Model:
    """Find a model as `find` does.

    Raises InputError if the name is unknown; the message has the nearest names.
    """
    model = find(name)
    if model is None:
        raise InputError(unknown(name))
    return model


def unknown(name: str) -> str:
    """Return the error message for a name that `find` does not know."""
    from difflib import get_close_matches

    names = [name for model in all_models() for name in (model.name, *model.aliases)]
    near = get_close_matches(name.strip().lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"model {name!r} is unknown: {hint}cotam models lists all names"


def all_models() -> tuple[Model, ...]:
    """Return all models of the table, in its order."""
    return tuple(model for model, _ in _table())


@cache
def servers() -> tuple[Server, ...]:
    """Return all servers of the table."""
    rows = _document()["servers"]
    return tuple(Server(**row | {"formats": _optional_tuple(row["formats"])}) for row in rows)


def oversize_hint(width: int, height: int) -> str | None:
    """Return a hint if three quarters of all models see less than half of the pixels, else None."""
    sizes = [model.see(width, height).size for model in all_models()]
    fewer = sum(2 * size[0] * size[1] < width * height for size in sizes)
    if 4 * fewer < 3 * len(sizes):
        return None
    return (
        f"{width} x {height} pixels: {fewer} of {len(sizes)} kinds of models see less than half of them; "
        "--for MODEL sends what the model sees (cotam models lists the names)"
    )


def _same_view(rule: Rule, width: int, height: int) -> Size:
    """Return a small size that gives the model the same view as ``width`` × ``height``.

    Candidates are the size that the model sees, if its aspect ratio is close enough, then growing sizes with
    the aspect ratio of the image that cover it. If none gives exactly the same view, views may differ by one
    per cent, with the same number of tokens.
    """
    seen = rule(width, height)
    smaller = min(seen.size[0], width), min(seen.size[1], height)
    covering = max(seen.size[0] / width, seen.size[1] / height)
    scales = [covering * more for more in _SCALES if covering * more < 1]
    candidates = [(math.ceil(width * scale), math.ceil(height * scale)) for scale in scales]
    if abs(math.log(smaller[0] * height / (smaller[1] * width))) <= _STRETCH:
        candidates.insert(0, smaller)
    views = [(size, rule(*size)) for size in candidates]
    for tolerance in (0.0, 0.01):
        for size, view in views:
            difference = max(abs(a - b) / b for a, b in zip(view.size, seen.size, strict=True))
            if view.tokens == seen.tokens and difference <= tolerance:
                return size
    return width, height


@lru_cache(maxsize=4096)
def _find(typed: str) -> Model | None:
    document = _document()
    name = re.sub(f"^{document['prefix']}", "", typed.rpartition("/")[2]).replace("_", "-")
    for model, row in _table():
        if name in (model.name, *model.aliases) or re.match(row["pattern"], name):
            changes = [host["limits"] for host in row.get("on", ()) if re.search(host["pattern"], typed)]
            return replace(model, limits=replace(model.limits, **changes[0])) if changes else model
    return None


@cache
def _document() -> Any:
    return json.loads(Path(__file__).with_name("models.json").read_text(encoding="utf-8"))


@cache
def _table() -> tuple[tuple[Model, Any], ...]:
    return tuple((_model(row), row) for row in _document()["models"])


def _model(row: Mapping[str, Any]) -> Model:
    entries = {level: _entry(row["details"], level) for level in row["details"]}
    limits = dict(row["limits"])
    if "patches" in limits:
        limits["patches"] = Patches(**limits["patches"])
    return Model(
        name=row["name"],
        title=row["title"],
        hosted=row["hosted"],
        aliases=tuple(row["aliases"]),
        formats=_optional_tuple(row["formats"]),
        limits=Limits(**limits),
        sources=tuple(Source(**source) for source in row["sources"]),
        _rules={level: _rule(entry) for level, entry in entries.items()},
        _boxes={level: _rule(entry["send"]) for level, entry in entries.items() if "send" in entry},
    )


def _entry(details: Mapping[str, Any], level: str) -> Mapping[str, Any]:
    """Return the entry of a level; a string refers to another level."""
    entry = details[level]
    return _entry(details, entry) if isinstance(entry, str) else entry


def _optional_tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _rule(entry: Mapping[str, Any]) -> Rule:
    """Return the rule of an entry: ``{"kind": "padded-grid", "cell": 48, …}`` is `sizes.padded_grid`."""
    name = entry["kind"].replace("-", "_")
    kind = getattr(sizes, name, None) or getattr(tilings, name)
    return partial(kind, **{key: value for key, value in entry.items() if key not in ("kind", "send")})
