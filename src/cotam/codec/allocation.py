"""Who decides where a still or frame spends its bits: allocators of gain offsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Allocator", "Costs", "FixedOffsets", "fixed"]

Costs = Callable[[], np.ndarray]
"""Computes what gain offsets cost at the quality that is coded: bits, float32 (15, ⌈H/32⌉, ⌈W/32⌉), of each
offset -7 … 7 in each field of 32×32 pixels."""


class Allocator(Protocol):
    """Chooses the gain offset map of an image, which the codec asks for once for each quality it tries."""

    def offsets(self, costs: Costs) -> np.ndarray:
        """Return the gain offset map: integers (⌈H/32⌉, ⌈W/32⌉) in ±7, in quarter octaves of gain."""
        ...


@dataclass(frozen=True)
class FixedOffsets:
    """The allocator of a map that is known: integers (⌈H/32⌉, ⌈W/32⌉) in ±7."""

    levels: Any

    def offsets(self, costs: Costs) -> np.ndarray:
        """Return the map."""
        return np.asarray(self.levels)


def fixed(levels: Any) -> FixedOffsets | None:
    """Return the allocator of a map, None for None."""
    return None if levels is None else FixedOffsets(levels)
