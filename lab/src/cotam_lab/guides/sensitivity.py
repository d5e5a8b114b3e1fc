"""Sensitivity maps of encoders, and text maps: the targets of a guide.

The sensitivity to squared error in a cell is ``‖Jᵀv‖²``, where J is the derivative of the output of the
teacher by the pixels of the cell, and v is random with the weights of the outputs. Its expectation is the
trace of ``Jᵀ·diag(weight)·J``. The derivative is taken at a coded version of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cotam.codec.still import Codec
from cotam_lab.guides.lettering import lettered
from cotam_lab.nets.teachers import LEVELS, Teacher, as_tensor
from cotam_lab.nets.text_detector import TextDetector
from cotam_lab.train.data import Crops
from cotam_lab.train.precision import autocast

SENSITIVITIES = ("tokens", "attended", "whole")
"""Of the tokens of all levels, of these weighted by late [CLS] attention, and of the final [CLS] token."""

MAPS = (*SENSITIVITIES, "early", "late", "variance")
"""Sensitivities, [CLS] attention of layers 1–3 (arXiv 2509.24258) and of the last two, variance of luma."""

EARLY, LATE = slice(0, 3), slice(-2, None)
PROBES = {"attended": 1, "whole": 1}
"""Random vectors per training crop; more crops are worth more than more vectors."""

CELL = 16
"""Side, in pixels, of the cells of targets."""

QUALITIES = (10, 50)
"""Range of qualities of the coded version of a training crop."""

LETTERED = 0.4
"""Share of photographs that get lettering, since few have text."""

ENLARGED = 1.5
"""Magnification for the text detector, so that it finds letters of 6 pixels."""

TEXT_SCORES = 0.3, 0.6
"""Detector scores that are mapped to 0 and to 1."""

_TOKEN_LEVELS = LEVELS[1:]


def maps(
    teacher: Teacher,
    image: Tensor,
    coded: Tensor,
    *,
    probes: Mapping[str, int],
    cell: int = CELL,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Compute `MAPS`, each (⌈H/cell⌉, ⌈W/cell⌉), positive and of mean 1.

    Parameters
    ----------
    teacher : must be loaded with attention
    image, coded : (1, 3, H, W) in 0 … 1, original and decoded
    probes : sensitivity → number of random vectors; sensitivities not named are left out
    """
    size = [max(1, round(n / teacher.patch)) * teacher.patch for n in image.shape[2:]]
    grid = size[0] // teacher.patch, size[1] // teacher.patch
    cells = -(-image.shape[2] // cell), -(-image.shape[3] // cell)
    with torch.no_grad():
        seen = _run(teacher, image, size, output_attentions=True)
    rows = torch.stack([a[0, :, 0, teacher.prefix :].float().mean(0) for a in seen.attentions])
    early, late = rows[EARLY].mean(0), rows[LATE].mean(0)
    coded = coded.detach().requires_grad_()
    seen = _run(teacher, coded, size)
    tokens = torch.cat([seen.hidden_states[teacher.layers[n]][:, teacher.prefix :] for n in _TOKEN_LEVELS])
    tokens = F.layer_norm(tokens.float(), tokens.shape[-1:])
    whole = F.layer_norm(seen.hidden_states[-1][:, 0].float(), tokens.shape[-1:])
    share = (late / late.mean()).sqrt()[None, :, None]
    outputs = {"tokens": (tokens, None), "attended": (tokens, share), "whole": (whole, None)}
    found = {
        name: cells_of(squared_gradient(*outputs[name], coded, count, generator), cell)
        for name, count in probes.items()
    }
    for name, values in (("early", early), ("late", late)):
        near = F.interpolate(values.reshape(1, 1, *grid), size=image.shape[2:], mode="bilinear")
        found[name] = cells_of(near, cell)
    found["variance"] = local_variance(image, cell)
    return {name: (m / m.mean()).clamp(min=1e-4).reshape(cells) for name, m in found.items()}


def text_map(detector: TextDetector, image: Tensor) -> Tensor:
    """Compute the confidence of text in each cell, 0…1, on the grid of `maps`."""
    with torch.no_grad(), autocast(image.device.type):
        scores = detector(F.interpolate(image, scale_factor=ENLARGED, mode="bilinear"))
    low, high = TEXT_SCORES
    sure = ((scores.amax(1, keepdim=True) - low) / (high - low)).clamp(0, 1)
    cells = -(-image.shape[2] // CELL), -(-image.shape[3] // CELL)
    return F.adaptive_max_pool2d(sure, cells)[0, 0]


def squared_gradient(
    output: Tensor, root: Tensor | None, pixels: Tensor, probes: int, generator: torch.Generator | None
) -> Tensor:
    """Average ``(Jᵀ·root·v)²`` over random v, summed over colours: (1, 1, H, W)."""
    total = torch.zeros(1, 1, *pixels.shape[2:])
    for _ in range(probes):
        v = torch.randn(output.shape, generator=generator)
        (gradient,) = torch.autograd.grad(output, pixels, v if root is None else v * root, retain_graph=True)
        total += gradient.float().square().sum(1, keepdim=True)
    return total / probes


def cells_of(values: Tensor, cell: int) -> Tensor:
    """Average over cells, partial ones included: (1, 1, H, W) → (⌈H/cell⌉, ⌈W/cell⌉)."""
    return F.avg_pool2d(values, cell, ceil_mode=True, count_include_pad=False)[0, 0]


def local_variance(image: Tensor, cell: int) -> Tensor:
    """Compute the variance of luma in each cell."""
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    luma = (image * weights).sum(1, keepdim=True)
    return (cells_of(luma.square(), cell) - cells_of(luma, cell).square()).clamp(min=0) + 1e-5


def _run(teacher: Teacher, image: Tensor, size: list[int], **options: bool) -> Any:
    if list(image.shape[2:]) != size:
        image = F.interpolate(image, size, mode="bicubic", antialias=True)
    with autocast(image.device.type):
        return teacher.run(image, output_hidden_states=True, **options)


@dataclass(frozen=True)
class Teachers:
    """The networks that targets are computed with."""

    codec: Codec
    encoder: Teacher
    detector: TextDetector


def crop_targets(pixels: np.ndarray, number: int, teachers: Teachers) -> dict[str, np.ndarray]:
    """Compute the maps of one crop, float16 on cells of 16 pixels: `MAPS` without "tokens", and "text"."""
    low, high = QUALITIES
    quality = int(np.random.default_rng(number).integers(low, high + 1))
    image = as_tensor(pixels)
    coded = as_tensor(teachers.codec.decode(teachers.codec.encode(pixels, quality)))
    generator = torch.Generator().manual_seed(number)
    found = maps(teachers.encoder, image, coded, probes=PROBES, generator=generator)
    found["text"] = text_map(teachers.detector, image)
    return {name: m.numpy().astype(np.float16) for name, m in found.items()}


def cache(sources: Sequence[Crops], count: int, out: Path, teachers: Teachers) -> Iterator[int]:
    """Write crops 0 … ``count`` − 1 with their maps into ``out``, one file each, unless they exist.

    Crops are taken from ``sources`` in turn. Yields the numbers of new crops.
    """
    out.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = out / f"{number:05}.npz"
        if path.exists():
            continue
        (pixels,), (text,) = sources[number % len(sources)].batch(number, 1)
        rng = np.random.default_rng((number, 1))
        if not text and rng.random() < LETTERED:
            pixels = lettered(rng, pixels)
        found = crop_targets(pixels, number, teachers)
        part = out / "part"
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, pixels=pixels, **found)
        part.replace(path)
        yield number
