"""The views of a decoded image."""

from __future__ import annotations

from typing import Literal

__all__ = ["VIEWS", "View"]

View = Literal["mllm", "human"]
"""For vision encoders, or for people: decoded from the same latents, one of them with the image adapter."""

VIEWS: tuple[View, ...] = ("human", "mllm")
"""The order of `cotam.codec.weights.WeightSet.views`."""
