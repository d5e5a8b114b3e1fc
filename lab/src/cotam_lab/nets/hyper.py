"""Causal context of the hyper latents: predict mean and table of each from those coded before it, in integers.

Hyper latents are coded in the four steps of `quadtree`. Before each step, one small integer network predicts a mean
and a change of the table index from the hyper latents known so far (others are zero). As in the scale network every
value is an integer that float32 holds exactly, so that all machines agree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cotam_lab.nets.entropy import ANCHORS, TABLES, PerQuality
from cotam_lab.nets.layers import IntegerConv, clamp_ste, requantise, round_ste
from cotam_lab.nets.quadtree import PLACES, STEPS, step_masks

__all__ = ["HyperContext"]

UNIT = 1 / 2048
SUM_LIMIT = 2.0**22


class HyperContext(nn.Module):
    """Known hyper latents → means and changes of the table index.

    ::

        known z ──1×1──▸ 3×3 ──▸ 1×1 ──▸ 3×3 ──▸ 1×1 ──▸ mean, change
                     ▴ quality, step and position within 2×2
    """

    turn: Tensor

    def __init__(self, hyper: int, wide: int = 96) -> None:
        super().__init__()
        self.enter = IntegerConv(hyper, wide)
        self.mix = IntegerConv(wide, wide, 3, groups=wide)
        self.middle = IntegerConv(wide, wide)
        self.mix_again = IntegerConv(wide, wide, 3, groups=wide)
        self.leave = IntegerConv(wide, 2 * hyper)
        for mix in (self.mix, self.mix_again):
            mix.weight.data *= 0.3
        self.leave.weight.data *= 0.1
        self.quality = PerQuality(torch.zeros(ANCHORS, wide))
        turn = torch.zeros(2, 2, dtype=torch.long)
        for number, (row, column) in enumerate(PLACES):
            turn[row, column] = number
        self.register_buffer("turn", turn, persistent=False)
        self.place = nn.Parameter(torch.zeros(STEPS, STEPS, wide))

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return biases of the first sums, integers (101, wide) by quality, (4, 4, wide) by step and turn."""
        return (
            round_ste(clamp_ste(self.quality.table() / UNIT, -SUM_LIMIT, SUM_LIMIT)),
            round_ste(clamp_ste(self.place / UNIT, -SUM_LIMIT, SUM_LIMIT)),
        )

    def forward(self, known: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers (B, hyper, h, w): means in ±255, in units of 1/16, and changes of the index in ±47.

        Parameters
        ----------
        known : (B, hyper, h, w), integers in ±255, zero where unknown
        sums : (B, wide, h, w), integers: the sum of the biases of `tables`
        """
        x = requantise(self.enter(known) + sums)
        x = requantise(self.mix(x) + 128 * x)
        x = requantise(self.middle(x))
        x = requantise(self.mix_again(x) + 128 * x)
        mean, change = self.leave(x).chunk(2, 1)
        return requantise(mean, low=-255), clamp_ste(round_ste(change / 512), 1 - TABLES, TABLES - 1)

    def predict(self, z: Tensor, multiplier: Tensor, index: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Predict means, in symbols, and table indices of all hyper latents, differentiably.

        Parameters
        ----------
        z : (B, hyper, h, w), dequantised, integers in ±255
        multiplier : (B, hyper, 1, 1), see `Codec.z_multiplier`
        index : (B, hyper, h, w), table index without context
        quality : (B,) int64
        """
        by_quality, by_place = self.tables()
        known, means, indices = torch.zeros_like(z), torch.zeros_like(z), torch.zeros_like(z)
        for step, mask in enumerate(step_masks(z)):
            sums = by_quality[quality][:, :, None, None] + _spread(
                by_place[step][self.turn], z.shape[2], z.shape[3]
            )
            mean, change = self(known, sums)
            means = means + mask * round_ste(mean * 256 / multiplier)
            indices = indices + mask * clamp_ste(index + change, 1, TABLES - 1)
            known = known + mask * z
        return means, indices


def _spread(square: Tensor, height: int, width: int) -> Tensor:
    """(2, 2, C) → (1, C, height, width), repeated."""
    square = square.permute(2, 0, 1)[None]
    return square.repeat(1, 1, -(-height // 2), -(-width // 2))[:, :, :height, :width]
