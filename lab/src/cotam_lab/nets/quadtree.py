"""The four context steps in training, each with its quarter of the latents as a dense tensor.

The channels are in four groups. Step ``s`` codes group ``(s - turn) % 4`` of each position, where ``turn`` numbers the
positions of each 2×2 square (the quadtree partition of DCVC-DC). A quarter has the layout (turn, B, h/2, w/2, M/4),
so nothing is computed for latents that a step does not code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["PLACES", "STEPS", "merge", "quantise", "split", "step_masks", "turns"]

STEPS = 4
PLACES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Row and column of each turn within a 2×2 square; the diagonal comes first, so that the second step has a neighbour
on each side."""


def turns(x: Tensor) -> Tensor:
    """(B, C, h, w) → (4, B, h/2, w/2, C): positions by turn, with all channels."""
    return _Turns.apply(x.permute(0, 2, 3, 1))


def split(x: Tensor) -> list[Tensor]:
    """(B, M, h, w), even sides → the quarter of each step, (4, B, h/2, w/2, M/4)."""
    return list(_Split.apply(x.permute(0, 2, 3, 1)))


def merge(quarters: list[Tensor], dtype: torch.dtype | None = None) -> Tensor:
    """Quarters of the first steps → (B, M, h, w), zero for the other steps."""
    return _Merge.apply(dtype or quarters[0].dtype, *quarters).permute(0, 3, 1, 2)


def quantise(latents: Tensor, mean: Tensor, gain: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
    """Quarter of a step → (scaled residual before rounding, ŷ), with straight-through gradients of rounding.

    ``live`` is 0 where the symbol is zero and not coded, else 1.
    """
    return _Quantise.apply(latents, mean, gain, live)


def step_masks(latents: Tensor) -> list[Tensor]:
    """Return the mask of each of the four steps in (B, M, h, w): (1, M, h, w), 1 where it codes, else 0."""
    channels, height, width = latents.shape[1:]
    group = torch.arange(channels, device=latents.device) * STEPS // channels
    row = torch.arange(height, device=latents.device) % 2
    column = torch.arange(width, device=latents.device) % 2
    turn = 2 * (row[:, None] ^ column[None, :]) + row[:, None]
    # A single comparison per latent, since such passes take time on a CPU.
    coded = [(s - group) % STEPS for s in range(STEPS)]
    return [(turn[None] == groups[:, None, None]).to(latents.dtype)[None] for groups in coded]


class _Turns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.stack([x[:, r::2, c::2] for r, c in PLACES])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        _, batch, height, width, channels = grad.shape
        found = grad.new_empty(batch, 2 * height, 2 * width, channels)
        for turn, (r, c) in enumerate(PLACES):
            found[:, r::2, c::2] = grad[turn]
        return found


def _take(x: Tensor, step: int) -> Tensor:
    grouped = x.unflatten(3, (STEPS, -1))
    return torch.stack([grouped[:, r::2, c::2, (step - turn) % STEPS] for turn, (r, c) in enumerate(PLACES)])


def _put(target: Tensor, quarter: Tensor, step: int) -> None:
    grouped = target.unflatten(3, (STEPS, -1))
    for turn, (r, c) in enumerate(PLACES):
        grouped[:, r::2, c::2, (step - turn) % STEPS] = quarter[turn]


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(_take(x, step) for step in range(STEPS))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        _, batch, height, width, channels = grads[0].shape
        found = grads[0].new_empty(batch, 2 * height, 2 * width, STEPS * channels)
        for step, grad in enumerate(grads):
            _put(found, grad, step)
        return found


class _Merge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *quarters: Tensor) -> Tensor:
        _, batch, height, width, channels = quarters[0].shape
        shape = batch, 2 * height, 2 * width, STEPS * channels
        make = torch.empty if len(quarters) == STEPS else torch.zeros
        found = make(shape, dtype=dtype, device=quarters[0].device)
        for step, quarter in enumerate(quarters):
            _put(found, quarter, step)
        ctx.count, ctx.dtype = len(quarters), quarters[0].dtype
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(_take(grad, step).to(ctx.dtype) for step in range(ctx.count))


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, mean: Tensor, gain: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        away = y - mean
        scaled = away * gain
        error = torch.round(scaled)
        known = error * live
        known.div_(gain).add_(mean)
        ctx.save_for_backward(away, error.sub_(scaled), gain, live)
        return scaled, known

    @staticmethod
    def backward(ctx: Any, of_scaled: Tensor, of_known: Tensor) -> tuple[Tensor | None, ...]:
        away, error, gain, live = ctx.saved_tensors
        passed = of_known * live
        through = of_scaled * gain
        # d ŷ/d gain: round(s)/gain with s = away · gain straight through is away/gain - round(s)/gain².
        of_gain = of_scaled * away - passed * error / gain.square()
        of_y = through + passed
        return of_y, of_known - of_y, of_gain, None
