"""Allocators, which choose the gain offset map of a still image or frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Allocator", "Costs", "FixedOffsets"]

Costs = Callable[[], np.ndarray]
"""Computes the cost of gain offsets at the current quality: bits, float32 (15, ⌈H/32⌉, ⌈W/32⌉), of each
offset -7 … 7 in each field of 32×32 pixels."""


class Allocator(Protocol):
    """Chooses the gain offset map of an image; called once for each quality that is tried."""

    def offsets(self, costs: Costs) -> np.ndarray:
        """Return the gain offset map: integers (⌈H/32⌉, ⌈W/32⌉) in ±7, in quarter octaves of gain."""
        ...


@dataclass(frozen=True)
class FixedOffsets:
    """The allocator of a given map: integers (⌈H/32⌉, ⌈W/32⌉) in ±7."""

    levels: Any

    def offsets(self, costs: Costs) -> np.ndarray:
        """Return the map."""
        return np.asarray(self.levels)
