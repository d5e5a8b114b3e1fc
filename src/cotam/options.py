"""Encoding options, and what "auto" means for one image: `Options` and `Options.resolve`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, get_args

from cotam.codec.views import View
from cotam.errors import InputError
from cotam.format.header import MAX_QUALITY
from cotam.format.metadata import METADATA, Metadata

if TYPE_CHECKING:
    import numpy as np

    from cotam.codec.planes import Allocator
    from cotam.codec.temporal import FrameAllocator
    from cotam.guide.base import Guide
    from cotam.guide.guidance import Guidance
    from cotam.guide.importance import Policy

__all__ = [
    "FEW_COLOURS",
    "Effort",
    "Metadata",
    "Options",
    "Payload",
    "Plan",
    "Profile",
    "View",
    "check_choice",
    "check_count",
    "guide_digest",
    "parse_bytes",
    "parse_pixels",
    "weights_digests",
]

FEW_COLOURS = 32
"""Images of at most this many colours, such as QR codes, are always flat graphics."""

Profile = Literal["auto", "mllm", "page", "base"]
Effort = Literal["fast", "default", "best"]
Payload = Literal["learned", "flat", "learned or av1", "learned or flat"]
"""How a still image is coded: by the learned codec, as flat graphics (lossless WebP or AV1), or by the better
of two."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The validated arguments of `cotam.encode`, except the image; see there.

    Raises InputError if an argument is not valid, or ``levels`` are given with a guide.
    """

    quality: int = 50
    target_size: int | None = None
    profile: Profile = "auto"
    guide: str | PathLike[str] | Guide = "auto"
    guide_strength: float = 1.0
    guide_policy: Policy = "log"
    levels: np.ndarray | None = field(default=None, compare=False)
    metadata: Metadata | Iterable[Metadata] = ()
    background: str | tuple[int, int, int] = "white"
    fit: str | None = None
    max_pixels: int | None = None
    effort: Effort = "default"

    def __post_init__(self) -> None:
        from cotam.guide.importance import MAX_STRENGTH, Policy

        quality, strength = self.quality, self.guide_strength
        if isinstance(quality, bool) or not isinstance(quality, Integral) or not 0 <= quality <= MAX_QUALITY:
            raise InputError(f"quality must be a whole number from 0 to {MAX_QUALITY}, got {quality!r}")
        check_choice("profile", self.profile, get_args(Profile))
        check_choice("effort", self.effort, get_args(Effort))
        check_choice("guide_policy", self.guide_policy, get_args(Policy))
        if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= strength <= MAX_STRENGTH:
            raise InputError(f"guide_strength must be a number from 0 to {MAX_STRENGTH:g}, got {strength!r}")
        for name in ("target_size", "max_pixels"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if self.fit is not None and not isinstance(self.fit, str):
            raise InputError(f"fit must be the name of a model, got {self.fit!r}")
        if self.levels is not None and self.guide not in ("auto", "none"):
            raise InputError("a guide and levels exclude each other: give one of them")
        _ = self.kept_metadata, self._given_guide

    @cached_property
    def kept_metadata(self) -> frozenset[str]:
        """The kinds of metadata to keep."""
        given = self.metadata
        try:
            kinds = frozenset([given] if isinstance(given, str) else given)
        except TypeError as error:
            raise InputError(f"metadata must be any of exif, icc, xmp, got {given!r}") from error
        for kind in kinds:
            check_choice("metadata", kind, tuple(METADATA.values()))
        return kinds

    @cached_property
    def _given_guide(self) -> Guide | None:
        """The guide that was named or given; None for "none", and for "auto" until `resolve`."""
        from cotam.guide.base import load

        guide = fspath(self.guide) if isinstance(self.guide, PathLike) else self.guide
        if not isinstance(guide, str):
            if not hasattr(guide, "importance"):
                raise InputError(f"guide must be a name or have the method importance, got {guide!r}")
            return guide
        return None if guide == "auto" else load(guide)

    @property
    def may_choose_payload(self) -> bool:
        """Whether images may be coded otherwise than by the learned codec."""
        return self.profile == "auto" and self.levels is None and self.guide in ("auto", "none")

    def resolve(self, pixels: np.ndarray, *, sequence: bool = False) -> Plan:
        """Resolve "auto" for an image, or for learned frames of a ``sequence`` by its first, uint8 (H, W, 3).

        The profile "auto" is "page" for an image that is mostly text, else "mllm". The guide "auto" is "text"
        with the weight set "mllm" unless ``levels`` are given, else "none". Only if the profile is "auto", no
        ``levels`` are given and the guide is "auto" or "none", are still images coded otherwise than by the
        learned codec; see `Payload`.
        """
        from cotam.guide.base import load
        from cotam.guide.content import examine
        from cotam.guide.guidance import Guidance
        from cotam.guide.multiscale import FUSION

        fusion = 0.0 if self.effort == "fast" else FUSION
        payload = _payload_of(pixels) if self.may_choose_payload and not sequence else "learned"
        if payload in ("flat", "learned or flat"):
            return Plan("page", int(self.quality), self.target_size, self.effort, payload=payload)
        if self.profile in ("auto", "mllm"):
            from cotam.codec.shared import open_ahead
            from cotam.runtime import ENCODING

            open_ahead("mllm", ENCODING)  # most images need it; it opens while the guide runs
        content = examine(pixels, guide="text", fusion=fusion) if self.profile == "auto" else None
        weights = content.profile if content else self.profile
        guide = self._given_guide
        if self.guide == "auto" and weights == "mllm" and self.levels is None:
            guide = load("text")
        known = content.importance if content and guide is not None and guide is load("text") else None
        guidance = Guidance(guide, float(self.guide_strength), self.guide_policy, fusion) if guide else None
        return Plan(
            weights=weights,
            quality=int(self.quality),
            target_size=self.target_size,
            effort=self.effort,
            guidance=guidance,
            importance=known,
            levels=self.levels,
            payload="learned or av1" if self.may_choose_payload and content and content.is_page else payload,
        )


def _payload_of(pixels: np.ndarray) -> Payload:
    """Return how an image is coded, by its flatness and its number of colours."""
    from cotam.codec.colours import has_more_colours
    from cotam.guide import content

    flatness = content.flatness(pixels)
    few = not has_more_colours(pixels, FEW_COLOURS)
    height, width = pixels.shape[:2]
    if flatness < content.MIN_FLATNESS and not few:
        mixed = flatness >= content.MIXED_FLATNESS and height * width <= content.MIXED_PIXELS
        return "learned or av1" if mixed else "learned"
    from cotam.codec.flat import can_encode_flat

    if not can_encode_flat(width, height):
        return "learned"
    is_scan = not few and flatness < content.SCAN_FLATNESS and content.examine(pixels, fusion=0.0).is_page
    return "learned or flat" if is_scan else "flat"


@dataclass(frozen=True)
class Plan:
    """How an image or sequence is encoded: options after `Options.resolve`."""

    weights: str  # name of the weight set
    quality: int  # these three are as in `Options`
    target_size: int | None
    effort: Effort
    guidance: Guidance | None = None  # the guide, with strength and policy; None without a guide
    importance: np.ndarray | None = None  # importance map of the image, float32 (gh, gw), if already computed
    levels: np.ndarray | None = None  # gain offset map given by the caller
    payload: Payload = "learned"  # how a still image is coded

    def levels_for(self, pixels: np.ndarray) -> np.ndarray | Allocator | None:
        """Return the gain offset map of the resolved image, uint8 (H, W, 3), or of a shrunk version of it.

        With a guide it is what chooses the map at each quality; None is zeros.
        """
        if self.levels is not None or self.guidance is None:
            return self.levels
        importance = self.guidance.importance(pixels) if self.importance is None else self.importance
        return self.guidance.allocator(importance, (pixels.shape[0], pixels.shape[1]))

    def frame_allocator(self) -> FrameAllocator | None:
        """Return the allocator of frames; the first must be the resolved image."""
        from cotam.guide.guidance import SmoothedGuidance

        return None if self.guidance is None else SmoothedGuidance(self.guidance, self.importance)


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise InputError if ``value`` is not one of ``choices``."""
    if value not in choices:
        raise InputError(f"unknown {name} {value!r}: choose from {', '.join(choices)}")


def check_count(name: str, value: Any) -> None:
    """Raise InputError if ``value`` is not a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} must be a whole number above 0, got {value!r}")


def weights_digests(profile: Profile) -> str:
    """Return 12 hexadecimal digits of the digest of each weight set that a profile may use."""
    from cotam.codec import weights

    names = ("mllm", "page") if profile == "auto" else (profile,)
    return " ".join(weights.load(name).digest.hex()[:12] for name in names)


def guide_digest(guide: str, profile: Profile) -> str | None:
    """Return the SHA-256, in hexadecimal, of the ONNX guide that is used; None without one."""
    import hashlib

    from cotam.guide.base import LITE, file_of

    file = file_of(guide)
    if profile == "auto" or (guide == "auto" and profile == "mllm"):
        file = file or LITE
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def parse_bytes(text: str) -> int:
    """Parse a number of bytes: 20000, 20k, 1.5M or 1G. Raises InputError."""
    return _parse(text, "B?", "bytes such as 20000, 20k or 1.5M")


def parse_pixels(text: str) -> int:
    """Parse a number of pixels: 1000000, 800k, 1M or 1MP. Raises InputError."""
    return _parse(text, "(?:P|px)?", "pixels such as 1000000, 800k or 1.5M")


def _parse(text: str, unit: str, what: str) -> int:
    found = re.fullmatch(rf"([0-9]{{1,15}}(?:\.[0-9]+)?)([kMG]?){unit}", text, re.IGNORECASE)
    count = round(float(found[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[found[2].lower()]) if found else 0
    if count < 1:
        raise InputError(f"{text!r} is not a number of {what}")
    return count
