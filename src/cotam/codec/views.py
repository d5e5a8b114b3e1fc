"""The views of a decoded image."""

from __future__ import annotations

from typing import Literal

__all__ = ["VIEWS", "View"]

View = Literal["mllm", "human"]
"""For vision encoders, or for people: the same latents, drawn with and without an adapter."""

VIEWS: tuple[View, ...] = ("human", "mllm")
"""In the order of `cotam.codec.weights.WeightSet.views`."""
