"""Guides as allocators: from pixels to gain offset maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cotam.guide.base import Guide
from cotam.guide.importance import EXPONENT, Policy, to_levels
from cotam.guide.multiscale import FUSION, importance

__all__ = ["Guidance", "SmoothedGuidance"]

Allocator = Callable[[Callable[[], np.ndarray]], np.ndarray]
"""As `cotam.codec.planes.Allocator`, which guides do not import."""

SMOOTHING = 0.5
"""Weight of the previous frames in log importance, which reduces flicker of the offsets."""


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

    def allocator(self, importance: np.ndarray, size: tuple[int, int]) -> Allocator:
        """Return the allocator of an image of ``size`` (H, W) whose importance map is known.

        Even importance gives zeros and asks for no costs.
        """
        exponent = getattr(self.guide, "exponent", EXPONENT)
        to_map = partial(
            to_levels, importance, size, policy=self.policy, strength=self.strength, exponent=exponent
        )
        needs_costs = self.policy == "log" and np.ptp(importance) > 0
        return lambda costs: to_map(costs() if needs_costs else None)


class SmoothedGuidance:
    """Allocators of successive frames (`cotam.codec.temporal.FrameAllocator`), smoothed over time.

    ``first`` is the importance map of the first frame, if already computed.
    """

    def __init__(self, guidance: Guidance, first: np.ndarray | None = None) -> None:
        self._guidance, self._first = guidance, first
        self._before: np.ndarray | None = None

    def __call__(self, pixels: np.ndarray, intra: bool) -> Allocator:
        """Return the allocator of the next frame; smoothing restarts at an intra frame."""
        found = self._guidance.importance(pixels) if self._first is None else self._first
        self._first = None
        logarithm = np.log(found)
        if self._before is not None and not intra:
            logarithm += SMOOTHING * (self._before - logarithm)
        self._before = logarithm
        return self._guidance.allocator(np.exp(logarithm), (pixels.shape[0], pixels.shape[1]))
