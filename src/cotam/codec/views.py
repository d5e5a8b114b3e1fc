"""The views of a decoded image."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["VIEWS", "View"]

View = Literal["human", "mllm"]
"""For people, or for vision encoders: the same latents, drawn without and with an adapter."""

VIEWS = get_args(View)
"""In the order of `cotam.codec.weights.WeightSet.views`."""
