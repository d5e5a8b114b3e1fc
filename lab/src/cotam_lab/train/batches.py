"""Training batches: crops with qualities and gain offset maps.

A batch depends only on (seed, step, rank), so that a resumed run continues exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cotam_lab.nets.entropy import QUALITIES
from cotam_lab.train.data import Crops, random_levels
from cotam_lab.train.losses import Batch
from cotam_lab.train.schedule import Schedule

__all__ = ["PackBatches", "TileBatches"]


class PackBatches:
    """Batches of crops from a pack, cut on the host and moved to ``device``."""

    def __init__(self, crops: Crops, schedule: Schedule, device: str = "cpu") -> None:
        self.crops, self.schedule, self.device = crops, schedule, device

    def stream(self, first: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield the batches of process ``rank`` of ``ranks`` from step ``first`` to the last."""
        count, last = self.schedule.batch // ranks, self.schedule.steps
        cells = self.crops.size // 32
        for step, (pixels, text) in enumerate(self.crops.stream(first, last, count, rank), first):
            rng = np.random.default_rng((self.schedule.seed, step, rank))
            drawn = np.sort(QUALITIES * rng.random(count) ** self.schedule.quality_power).astype(np.int64)
            maps = random_levels(rng, count, cells, cells)
            images, quality, levels, is_text = (
                torch.from_numpy(array).to(self.device) for array in (pixels, drawn, maps, text)
            )
            images = images.permute(0, 3, 1, 2).float() / 255
            yield Batch(images, quality, levels, is_text, step / last)


class TileBatches:
    """Batches drawn on a GPU from tiles in its memory, without synchronisation with the host."""

    def __init__(
        self,
        tiles: np.ndarray,
        text: np.ndarray,
        size: int,
        schedule: Schedule,
        device: str,
        text_share: float,
    ) -> None:
        """``tiles`` are uint8 (N, S, S, 3), ``text`` is bool (N,); crops have a side of ``size`` pixels, at most S."""
        self.tiles = torch.from_numpy(tiles).to(device)
        self.text = torch.from_numpy(text).to(device)
        self.size, self.schedule, self.device = size, schedule, device
        share = np.where(text, text_share / max(1, text.sum()), (1 - text_share) / max(1, (~text).sum()))
        self.weights = torch.from_numpy(share).float().to(device)
        self.random = torch.Generator(device)

    def stream(self, first: int, rank: int, ranks: int) -> Iterator[Batch]:
        """As `PackBatches.stream`."""
        for step in range(first, self.schedule.steps):
            yield self.batch(step, rank, self.schedule.batch // ranks)

    def batch(self, step: int, rank: int, count: int) -> Batch:
        """Draw the batch of one step: ``count`` crops."""
        self.random.manual_seed((self.schedule.seed * 1_000_003 + step) * 1_009 + rank)
        which = torch.multinomial(self.weights, count, replacement=True, generator=self.random)
        text = self.text[which]
        quality = QUALITIES * self._uniform(count) ** self.schedule.quality_power
        return Batch(
            self._crops(which, text, step),
            quality.sort().values.long(),
            self._levels(count),
            text,
            step / self.schedule.steps,
        )

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.random, device=self.device)

    def _crops(self, which: Tensor, text: Tensor, step: int) -> Tensor:
        """Return crops (B, 3, size, size) in 0 … 1, photographs mirrored and turned; every third step halves all."""
        whole, count = self.tiles.shape[1], len(which)
        side = 2 * self.size if step % 3 == 2 and 2 * self.size <= whole else self.size
        start = (self._uniform(2, count) * (whole - side + 1)).long()
        along = torch.arange(side, device=self.device)
        mirrored = (self._uniform(count) < 0.5) & ~text
        columns = torch.where(mirrored[:, None], side - 1 - along, along) + start[1][:, None]
        rows = along + start[0][:, None]
        crops = self.tiles[which[:, None, None], rows[:, :, None], columns[:, None, :]]
        crops = crops.permute(0, 3, 1, 2).float() / 255
        turned = (self._uniform(count) < 0.25) & ~text
        crops = torch.where(turned[:, None, None, None], crops.transpose(2, 3), crops)
        return F.avg_pool2d(crops, 2) if side > self.size else crops

    def _levels(self, count: int) -> Tensor:
        """Draw gain offset maps as `random_levels` does: half zero, else one value, gradients, blocks or noise."""
        cells, limit = self.size // 32, 4
        shape = (count, 1, 1, 1)
        kind = (self._uniform(*shape) * 8).long()
        strength = 0.5 + self._uniform(*shape) * (limit - 0.5)
        line = torch.linspace(0, 1, cells, device=self.device)
        across, down = line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)
        angle = self._uniform(*shape) * (2 * torch.pi)
        first, second = self._uniform(2, *shape), self._uniform(2, *shape)
        inside = (down >= first[0]) & (down <= first[0] + second[0])
        inside = inside & (across >= first[1]) & (across <= first[1] + second[1])
        half = max(1, cells // 2)
        coarse = torch.randn((count, 1, half, half), generator=self.random, device=self.device)
        noise = F.interpolate(coarse, (cells, cells), mode="bicubic")
        maps = (
            (kind == 0) * (2 * self._uniform(*shape) - 1) * strength
            + (kind == 1) * 2 * strength * ((across - 0.5) * angle.cos() + (down - 0.5) * angle.sin())
            + (kind == 2) * strength * (1.5 * inside - 0.5)
            + (kind == 3) * strength * noise
        )
        return maps.expand(count, 1, cells, cells).round().clamp(-limit, limit)
