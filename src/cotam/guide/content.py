"""What a picture is, a photograph or a page, and so which weight set suits it.

Knows the network of this package, one threshold and the names of two weight sets: nothing of what these do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    import numpy as np

    from cotam.guide.onnx import GraphGuide

__all__ = ["PAGE", "Content", "examine"]

PAGE = 0.4
"""From this part on, of what varies in a picture, text makes it a page (docs/guide.md)."""


@dataclass(frozen=True)
class Content:
    """What was found in a picture. It is a guide (`cotam.guide.base.Guide`) for that picture alone.

    Attributes
    ----------
    text : 0 … 1, the part of what varies in the picture that is text: deviations of luma in cells of 32
        pixels, so that blank paper and plain sky count nothing
    map : importance float32 (gh, gw)
    exponent : see `cotam.guide.base.Guide`
    """

    text: float
    map: np.ndarray
    exponent: float | None

    @property
    def is_page(self) -> bool:
        """Whether it is mostly text: a page, a receipt, a screen, a chart, and not a photograph with some."""
        return self.text >= PAGE

    @property
    def profile(self) -> Literal["page", "mllm"]:
        """The weight set that suits it."""
        return "page" if self.is_page else "mllm"

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """The map, which is known."""
        return self.map


def examine(pixels: np.ndarray, *, fusion: float = 0.5) -> Content:
    """What a picture is; pixels uint8 (H, W, 3) of any size. Large ones are looked at in tiles, too."""
    from cotam.guide.base import load
    from cotam.guide.multiscale import importance

    watching = _Watching(cast("GraphGuide", load("lite")))
    found = importance(watching, pixels, fusion=fusion)
    return Content(watching.near_text / watching.everywhere, found, watching.guide.exponent)


class _Watching:
    """A guide that adds up the text that it is shown."""

    def __init__(self, guide: GraphGuide) -> None:
        self.guide, self.side = guide, guide.side
        self.near_text = self.everywhere = 0.0

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        found, (near_text, everywhere) = self.guide.look(pixels)
        self.near_text += float(near_text)
        self.everywhere += float(everywhere)
        return found
