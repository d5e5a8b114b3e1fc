"""The built-in guide: a small convolutional network, image → importance.

::

    image ────▸ 1/8 ──▸ 1/16 ─────────────────────────────▸ + ──▸ log2 maps ──▸ importance
                          └──▸ 1/32 ──▸ + mean of all ──▸ up ┘
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam_lab.nets.integers import Steps, int8_weight, set_tracking
from cotam_lab.nets.layers import Block, Patches, Pointwise, Unpatch, act

HEADS = ("attended", "whole", "late", "text")
"""The predicted maps: sensitivities and late [CLS] attention (`cotam_lab.guides.sensitivity`), and the confidence
of a text detector."""

RELATIVE = len(HEADS) - 1
"""Maps before this one are relative within an image; text is absolute."""

MIXTURE = 1.0, 0.0, 0.0, 8.0
"""Weights of the maps in the importance, see `guide_graph`; stored with a network."""

SPREAD = 3
"""Side, in cells, of the maximum over text: errors in a neighbouring cell spoil letters too."""

MUCH_TEXT = 0.2
"""Mean of the text map from which on text has its full share in the output ``text``."""

MULTIPLE = 32
"""Side, in pixels, of the cells of gain offsets, of which sides of images are multiples."""


@dataclass(frozen=True)
class LiteShape:
    """Channels and blocks at 1/8, 1/16 and 1/32."""

    widths: tuple[int, int, int] = (64, 128, 192)
    blocks: tuple[int, int, int] = (1, 1, 2)


class Lite(nn.Module):
    """Images (B, 3, H, W) in 0 … 1, sides multiples of 32 → log2 maps (B, heads, H/16, W/16).

    All layers but the last, and those that see means of the whole image, are trained for int8 (`integers`).
    """

    mixture: Tensor

    def __init__(self, shape: LiteShape = LiteShape()) -> None:
        super().__init__()
        first, second, third = shape.widths
        self.enter = Patches(3, first, 8)
        self.eighth = nn.Sequential(*(Block(first, integers=True) for _ in range(shape.blocks[0])))
        self.down = Patches(first, second, 2)
        self.sixteenth = nn.Sequential(*(Block(second, integers=True) for _ in range(shape.blocks[1])))
        self.further = Patches(second, third, 2)
        self.near = nn.ModuleList(Block(third, integers=True) for _ in range(shape.blocks[2]))
        everywhere = [Pointwise(third, third) for _ in range(shape.blocks[2])]
        self.everywhere = nn.ModuleList(everywhere)
        self.up = Unpatch(third, second, 2)
        self.leave = Pointwise(second, len(HEADS))
        self.steps = Steps((True, True, True))  # of what ``down``, ``further`` and ``up`` see
        for layer in (self.leave, *everywhere):
            layer.weight.data *= 0.1
        self.register_buffer("mixture", torch.tensor(MIXTURE))

    def forward(self, image: Tensor) -> Tensor:
        middle = self.sixteenth(
            self._patches(self.eighth(self._patches((image - 0.5) * 4, self.enter)), self.down, 0)
        )
        x = self._patches(middle, self.further, 1)
        for block, everywhere in zip(self.near, self.everywhere, strict=True):
            x = block(x)
            x = x + everywhere(act(x.mean((2, 3), keepdim=True)))
        up = self.up.pointwise
        x = F.conv2d(self._rounded(x, 2), int8_weight(up.weight)[:, :, None, None], up.bias)
        return self.leave(act(middle + F.pixel_shuffle(x, self.up.k)))

    def _rounded(self, x: Tensor, number: int) -> Tensor:
        return self.steps.scaled(number, x) * self.steps.steps[number]

    def _patches(self, x: Tensor, layer: Patches, number: int | None = None) -> Tensor:
        """Apply ``layer`` with int8 weights to ``x``, rounded to its steps if it is activation ``number``."""
        weight = int8_weight(layer.weight).unflatten(1, (x.shape[1], layer.k, layer.k))
        return F.conv2d(x if number is None else self._rounded(x, number), weight, layer.bias, stride=layer.k)

    @torch.no_grad()
    def track(self, image: Tensor) -> None:
        """Update the step sizes of activations."""
        set_tracking(self, True)
        self(image)
        set_tracking(self, False)
