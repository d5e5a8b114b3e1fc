"""Guides as allocators: from pixels to gain offset maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cotam.guide.base import EXPONENT, Guide
from cotam.guide.importance import Policy, to_levels
from cotam.guide.multiscale import FUSION, importance

__all__ = ["Allocation", "Guidance", "SmoothedGuidance"]

SMOOTHING = 0.5
"""Weight of the previous frames in log importance, which reduces flicker of the offsets."""


@dataclass(frozen=True)
class Allocation:
    """The allocator (`cotam.codec.allocation.Allocator`) of one image."""

    importance: np.ndarray  # (gh, gw), positive, an even grid over the image
    size: tuple[int, int]  # (H, W) in pixels
    policy: Policy  # see `cotam.guide.importance`
    strength: float  # likewise
    exponent: float  # likewise

    def offsets(self, costs: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the gain offset map; even importance gives zeros and asks for no costs."""
        needed = costs() if self.policy == "log" and np.ptp(self.importance) else None
        return to_levels(
            self.importance,
            self.size,
            needed,
            policy=self.policy,
            strength=self.strength,
            exponent=self.exponent,
        )


@dataclass(frozen=True)
class Guidance:
    """A guide, and the rule from its importance to gain offsets."""

    guide: Guide
    strength: float = 1.0  # 0 … 16, scales the offsets
    policy: Policy = "log"  # see `cotam.guide.importance`
    # weight of the maps of tiles, see `cotam.guide.multiscale`; with 0 the guide runs once per image
    fusion: float = FUSION

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Return the importance map, float32 (gh, gw), of pixels uint8 (H, W, 3)."""
        return importance(self.guide, pixels, fusion=self.fusion)

    def allocation(self, importance: np.ndarray, size: tuple[int, int]) -> Allocation:
        """Return the allocator of an image of ``size`` (H, W) whose importance map is known."""
        exponent = getattr(self.guide, "exponent", None)
        exponent = EXPONENT if exponent is None else exponent
        return Allocation(importance, size, self.policy, self.strength, exponent)


class SmoothedGuidance:
    """Allocators of successive frames (`cotam.codec.temporal.FrameAllocator`), smoothed over time.

    ``first`` is the importance map of the first frame, if already computed.
    """

    def __init__(self, guidance: Guidance, first: np.ndarray | None = None) -> None:
        self._guidance, self._first = guidance, first
        self._before: np.ndarray | None = None

    def __call__(self, pixels: np.ndarray, intra: bool) -> Allocation:
        """Return the allocator of the next frame; smoothing restarts at an intra frame."""
        found = self._guidance.importance(pixels) if self._first is None else self._first
        self._first = None
        logarithm = np.log(found)
        if self._before is not None and not intra:
            logarithm += SMOOTHING * (self._before - logarithm)
        self._before = logarithm
        return self._guidance.allocation(np.exp(logarithm), (pixels.shape[0], pixels.shape[1]))
