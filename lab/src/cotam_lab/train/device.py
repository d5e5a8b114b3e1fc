"""Training on a GPU: crops, levels and qualities are drawn on the device, and the host waits for it every 100 steps.

A step is compiled. What it draws follows from (seed, step), so a resumed run goes on as if it had not stopped. The
files of a run are those of `loop.train`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cotam_lab.nets.codec import INTEGER_QUALITY, Codec
from cotam_lab.nets.entropy import QUALITIES
from cotam_lab.nets.integers import set_tracking
from cotam_lab.train.loop import Average, Schedule, save_checkpoint
from cotam_lab.train.losses import Batch, Loss, rate_distortion

__all__ = ["Draw", "train_on_device"]

LOG_EVERY = 100
"""Steps between two moments at which the host reads from the device."""

TRACKED = 8
"""Crops from which the steps of integer activations are tracked, every `LOG_EVERY` steps."""


class Draw:
    """Draws the batches of a run from tiles in device memory; nothing in it waits for the device."""

    def __init__(
        self,
        tiles: np.ndarray,
        text: np.ndarray,
        size: int,
        schedule: Schedule,
        device: str,
        text_share: float,
    ) -> None:
        """``tiles`` uint8 (N, S, S, 3), ``text`` bool (N,); crops have ``size`` pixels a side, at most S."""
        self.tiles = torch.from_numpy(tiles).to(device)
        self.text = torch.from_numpy(text).to(device)
        self.size, self.schedule, self.device = size, schedule, device
        share = np.where(text, text_share / max(1, text.sum()), (1 - text_share) / max(1, (~text).sum()))
        self.weights = torch.from_numpy(share).float().to(device)
        self.random = torch.Generator(device)

    def batch(self, step: int) -> Batch:
        self.random.manual_seed(self.schedule.seed * 1_000_003 + step)
        count = self.schedule.batch
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
        """(B, 3, size, size) in 0…1. Photographs are mirrored and turned; in every third step all are halved."""
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
        """Level maps as of `data.random_levels`: half are zero, else one value, gradients, blocks or noise."""
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


def train_on_device(
    model: Codec,
    draw: Draw,
    run: Path,
    schedule: Schedule,
    *,
    loss: Loss = rate_distortion,
    minutes: float | None = None,
    save_minutes: float = 2.0,
    compiled: bool = True,
    log_every: int = LOG_EVERY,
) -> None:
    """Train until ``schedule.steps``, or for ``minutes``; goes on from ``run/checkpoint.pt`` if there is one.

    Writes ``checkpoint.pt``, ``log.jsonl`` and ``schedule.json`` as `loop.train` does; a row of the log has
    "mpx", the megapixels a second since the row before.
    """
    device = draw.device
    run.mkdir(parents=True, exist_ok=True)
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("adapter."))
    trained = [p for p in model.parameters() if p.requires_grad]
    rule = torch.optim.Adam(trained, schedule.learning_rate, betas=(0.9, 0.99), fused=True)
    average = Average(model, schedule.average)
    first = _resume(run, schedule, model, average, rule)

    def save(step: int) -> None:
        save_checkpoint(
            run / "checkpoint.pt",
            step=step,
            model=model.state_dict(),
            average=average.state,
            optimiser=rule.state_dict(),
        )

    forward = _forward(model, loss, compiled)
    began = row_began = saved = time.monotonic()
    sums: dict[str, Tensor] = {}
    for step in range(first, schedule.steps):
        for group in rule.param_groups:
            group["lr"] = schedule.learning_rate * schedule.factor(step)
        batch = draw.batch(step)
        if model.shape.integers and step % log_every == 0:
            _track(model, batch)
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        parts = forward(batch, step < schedule.rounded_from * schedule.steps)
        rule.zero_grad()
        parts["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        rule.step()
        average.update(model, step + 1)
        for key, value in {**parts, "norm": norm}.items():
            sums[key] = sums.get(key, 0) + value.detach()
        if (step + 1) % log_every:
            continue
        means = {key: float(value) / log_every for key, value in sums.items()}  # waits for the device
        sums.clear()
        now = time.monotonic()
        pixels = log_every * schedule.batch * draw.size**2
        row = {"step": step + 1, **means, "rate": schedule.factor(step), "seconds": now - began}
        row["mpx"] = pixels / 1e6 / (now - row_began)
        with (run / "log.jsonl").open("a") as file:
            print(json.dumps({k: round(v, 5) for k, v in row.items()}), file=file)
        row_began = now
        if now - saved > 60 * save_minutes:
            save(step + 1)
            saved = now
        if minutes is not None and now - began > 60 * minutes:
            save(step + 1)
            return
    save(schedule.steps)


def _resume(
    run: Path, schedule: Schedule, model: Codec, average: Average, rule: torch.optim.Optimizer
) -> int:
    """Load the checkpoint of a run, if there is one. Returns the step to go on from."""
    checkpoint = run / "checkpoint.pt"
    if not checkpoint.exists():
        (run / "schedule.json").write_text(json.dumps(asdict(schedule), indent=1) + "\n")
        return 0
    state = torch.load(checkpoint, map_location=next(model.parameters()).device, weights_only=True)
    model.load_state_dict(state["model"])
    average.state = state["average"]
    rule.load_state_dict(state["optimiser"])
    return int(state["step"])


def _forward(model: Codec, loss: Loss, compiled: bool) -> Callable[[Batch, bool], dict[str, Tensor]]:
    network: Any = torch.compile(model) if compiled else model

    def forward(batch: Batch, noise: bool) -> dict[str, Tensor]:
        device = batch.picture.device.type
        options = {"rounded": _rounded(batch)} if model.shape.integers else {}
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            coded = network(batch.picture, batch.quality, batch.levels, noise=noise, **options)
        return loss(coded, batch)

    return forward


def _rounded(batch: Batch) -> int | Tensor:
    """Leading crops whose activations are rounded: a number on a CPU, which it does not wait for, else a tensor."""
    count = (batch.quality <= INTEGER_QUALITY).sum()
    return int(count) if batch.picture.device.type == "cpu" else count


@torch.no_grad()
def _track(model: Codec, batch: Batch) -> None:
    """Let the steps of integer activations follow what they see of the first crops, all but the highest qualities."""
    set_tracking(model, True)
    model(batch.picture[:TRACKED], batch.quality[:TRACKED], batch.levels[:TRACKED])
    set_tracking(model, False)
