"""From pixels to levels: a guide with its strength and policy.

Knows guides and importance: nothing of codecs or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cotam.guide.base import Guide
    from cotam.guide.importance import Policy

__all__ = ["Guidance"]


@dataclass(frozen=True)
class Guidance:
    """A guide, ``strength`` 0 … 16, and how importance becomes levels (`cotam.guide.importance`)."""

    guide: Guide
    strength: float
    policy: Policy

    def __call__(self, pixels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Levels of a picture, as `cotam.codec.still.Levels` made from what they cost."""
        return self.levels(self.importance(pixels), (pixels.shape[0], pixels.shape[1]))

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Importance float32 (gh, gw), positive and of mean 1, of pixels uint8 (H, W, 3) of any size."""
        from cotam.guide.multiscale import importance

        return importance(self.guide, pixels)

    def levels(self, importance: np.ndarray, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
        """As `__call__`, of importance that is known; ``size`` (H, W) in pixels."""
        from cotam.guide.base import exponent_of
        from cotam.guide.importance import to_levels

        return partial(
            to_levels,
            importance,
            size,
            policy=self.policy,
            strength=self.strength,
            exponent=exponent_of(self.guide),
        )
