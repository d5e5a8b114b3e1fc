"""Train the built-in guide by distillation from sensitivity maps, and export it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from cotam.errors import InputError
from cotam_lab.nets.guide_graph import guide_graph
from cotam_lab.nets.guide_lite import HEADS, MULTIPLE, RELATIVE, Lite
from cotam_lab.train.precision import autocast

HELD_OUT = 20
"""Two of this many crops are held out for validation; sizes alternate."""

NO_TEXT = -4.0
"""Log2 of the text map without text; it is 0 where the detector is certain."""


TRACK_EVERY = 32
"""Steps between two updates of the step sizes of activations."""


@dataclass(frozen=True)
class Targets:
    """Crops of one size: images (N, 3, H, W) uint8 and log2 maps (N, heads, H/16, W/16)."""

    images: Tensor
    maps: Tensor


def load_targets(folder: Path) -> tuple[list[Targets], list[Targets]]:
    """Load targets of `cotam_lab.guides.sensitivity.cache`, by size, for training and validation."""
    paths = sorted(folder.glob("*.npz"))
    if len(paths) < HELD_OUT:
        raise InputError(
            f"{folder} has {len(paths)} targets of {HELD_OUT} needed: "
            "run python -m cotam_lab.train guide targets"
        )
    held = [path for number, path in enumerate(paths) if number % HELD_OUT < 2]
    return _grouped([path for path in paths if path not in held]), _grouped(held)


def _grouped(paths: Sequence[Path]) -> list[Targets]:
    groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    for path in paths:
        with np.load(path) as file:
            found = {name: torch.from_numpy(file[name].astype(np.float32)) for name in HEADS[:RELATIVE]}
            image = torch.from_numpy(file["pixels"]).permute(2, 0, 1)
            text = torch.from_numpy(file["text"].astype(np.float32)).clamp(min=2**NO_TEXT).log2()[None]
        maps = torch.stack([m.clamp(min=1e-3).log2() for m in found.values()])
        maps = maps - maps.mean((1, 2), keepdim=True)
        groups.setdefault(tuple(image.shape), []).append((image, torch.cat([maps, text])))
    return [Targets(*(torch.stack(part) for part in zip(*group, strict=True))) for group in groups.values()]


def distillation_loss(maps: Tensor, targets: Tensor) -> Tensor:
    """Return the Huber loss of log2 maps (B, heads, h, w) on their grid and that of offsets: (heads,)."""
    total = torch.zeros(maps.shape[1])
    for size in (1, 2):
        ours, theirs = _coarser(maps, size), _coarser(targets, size)
        parts = [_centred(m[:, :RELATIVE]) for m in (ours, theirs)]
        ours, theirs = (
            torch.cat([p, m[:, RELATIVE:]], 1) for p, m in zip(parts, (ours, theirs), strict=True)
        )
        total = total + F.smooth_l1_loss(ours, theirs, reduction="none").mean((0, 2, 3))
    return total


def _coarser(maps: Tensor, size: int) -> Tensor:
    return maps if size == 1 else F.avg_pool2d(torch.exp2(maps), size).log2()


def _centred(maps: Tensor) -> Tensor:
    return maps - maps.mean((2, 3), keepdim=True)


def batches(
    groups: Sequence[Targets], count: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of one size each, mirrored at random, without end."""
    sizes = np.array([len(group.images) for group in groups])
    while True:
        group = groups[rng.choice(len(groups), p=sizes / sizes.sum())]
        chosen = torch.from_numpy(rng.choice(len(group.images), min(count, len(group.images)), False))
        image, maps = group.images[chosen].float() / 255, group.maps[chosen]
        if rng.random() < 0.5:
            image, maps = image.flip(3), maps.flip(3)
        yield image, maps


def distil(
    guide: Lite, groups: Sequence[Targets], steps: int, *, batch: int = 16, rate: float = 2e-3, seed: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Train on targets, with warm-up and cosine decay; yield step and loss by head."""
    optimiser = torch.optim.AdamW(guide.parameters(), lr=rate, weight_decay=0.02)
    source = batches(groups, batch, np.random.default_rng(seed))
    guide.train()
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = (
            rate * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        )
        image, targets = next(source)
        if step % TRACK_EVERY == 0:
            guide.track(image)
        with autocast("cpu"):
            maps = guide(image)
        loss = distillation_loss(maps.float(), targets)
        optimiser.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(guide.parameters(), 1.0)
        optimiser.step()
        yield step, loss.detach()


@torch.no_grad()
def validate(guide: Lite, groups: Sequence[Targets]) -> list[float]:
    """Return, by head, the correlation of log2 maps with targets within images, on the grid of offsets."""
    guide.eval()
    pairs = [(guide(group.images.float() / 255), group.maps) for group in groups]
    flat = [[_centred(_coarser(m, 2)).transpose(0, 1).flatten(1) for m in pair] for pair in pairs]
    guide.train()
    mine, target = (torch.cat(part, 1) for part in zip(*flat, strict=True))
    return ((mine * target).sum(1) / (mine.square().sum(1) * target.square().sum(1)).sqrt()).tolist()


def export_guide(guide: Lite, path: Path, *, side: int = 768, exponent: float = 0.35) -> None:
    """Write the guide as ONNX with the metadata of `docs/guide.md`."""
    model = guide_graph(guide.eval())
    properties = {
        "cotam.guide": "1",
        "cotam.guide.kind": "conv",
        "cotam.guide.side": str(side),
        "cotam.guide.multiple": str(MULTIPLE),
        "cotam.guide.name": "lite",
        "cotam.guide.exponent": f"{exponent:g}",
    }
    onnx.helper.set_model_props(model, properties)
    path.write_bytes(model.SerializeToString(deterministic=True))


def load(path: Path) -> Lite:
    """Load a network that `save` wrote."""
    lite = Lite()
    lite.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return lite


def save(lite: Lite, path: Path) -> None:
    """Write a network as float16."""
    save_file({name: tensor.half().contiguous() for name, tensor in lite.state_dict().items()}, path)
