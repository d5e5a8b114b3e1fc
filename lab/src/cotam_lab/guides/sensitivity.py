"""What errors in each place cost an encoder or a reader, and where text is: the targets of a guide.

Knows teachers and gradients: nothing of codecs, of levels or of networks that predict these maps.

Squared error that a coder spreads over a cell costs ``‖Jᵀv‖²`` there, J the derivative of the teacher's
output by the cell's pixels and v random with the weights of the outputs: the expectation over v is the trace
of ``Jᵀ·diag(weight)·J``. The derivative is taken at a coded version of the picture, where the coder works.
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
from cotam_lab.nets.teachers import LEVELS, Reader, Teacher
from cotam_lab.nets.text_detector import TextDetector
from cotam_lab.train.data import Crops
from cotam_lab.train.precision import autocast

SENSITIVITIES = ("tokens", "attended", "whole")
"""Of the tokens of all levels; of them, weighted by deep [CLS] attention; of the final [CLS] token."""

MAPS = (*SENSITIVITIES, "early", "late", "variance")
"""And [CLS] attention of layers 1–3 (arXiv 2509.24258), of the last two, and the variance of luma."""

EARLY, LATE = slice(0, 3), slice(-2, None)
PROBES = {"attended": 1, "whole": 1}
"""Of a training crop: more crops teach more than more vectors for each."""

QUALITIES = (10, 50)
"""Of the coded version of a training crop."""

LETTERED = 0.4
"""Part of the photographs that get lettering: few have text of their own."""

ENLARGED = 1.5
"""Of what the detector of text sees: letters of 6 pixels are text, too."""

TEXT_SCORES = 0.3, 0.6
"""Scores of the detector that mean no text for sure, and text for sure."""

_TOKEN_LEVELS = LEVELS[1:]


def maps(
    teacher: Teacher,
    picture: Tensor,
    coded: Tensor,
    *,
    probes: Mapping[str, int],
    cell: int = 16,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """`MAPS`, each (⌈H/cell⌉, ⌈W/cell⌉), positive and of mean 1; of `SENSITIVITIES` those in ``probes``.

    Parameters
    ----------
    teacher : loaded with attention
    picture, coded : (1, 3, H, W) in 0…1, the original and what a codec made of it
    probes : name of a sensitivity → random vectors that it is measured with
    """
    size = [max(1, round(n / teacher.patch)) * teacher.patch for n in picture.shape[2:]]
    grid = size[0] // teacher.patch, size[1] // teacher.patch
    cells = -(-picture.shape[2] // cell), -(-picture.shape[3] // cell)
    with torch.no_grad():
        seen = _run(teacher, picture, size, output_attentions=True)
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
        near = F.interpolate(values.reshape(1, 1, *grid), size=picture.shape[2:], mode="bilinear")
        found[name] = cells_of(near, cell)
    found["variance"] = local_variance(picture, cell)
    return {name: (m / m.mean()).clamp(min=1e-4).reshape(cells) for name, m in found.items()}


def reader_map(
    reader: Reader,
    coded: Tensor,
    *,
    probes: int,
    cell: int = 16,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sensitivity of a reader's features, on the grid of `maps`; lines are enlarged twice, as in training."""
    coded = coded.detach().requires_grad_()
    with autocast(coded.device.type):
        seen = reader(F.interpolate(coded, scale_factor=2, mode="bilinear"))
    flat = torch.cat(
        [m.float().flatten() / m.float().square().mean().sqrt() / m.numel() ** 0.5 for m in seen]
    )
    found = cells_of(squared_gradient(flat, None, coded, probes, generator), cell)
    return (found / found.mean()).clamp(min=1e-4)


def text_map(detector: TextDetector, picture: Tensor, cell: int = 16) -> Tensor:
    """How sure a detector is of text in each cell, 0 … 1, on the grid of `maps`."""
    with torch.no_grad(), autocast(picture.device.type):
        scores = detector(F.interpolate(picture, scale_factor=ENLARGED, mode="bilinear"))
    low, high = TEXT_SCORES
    sure = ((scores.amax(1, keepdim=True) - low) / (high - low)).clamp(0, 1)
    cells = -(-picture.shape[2] // cell), -(-picture.shape[3] // cell)
    return F.adaptive_max_pool2d(sure, cells)[0, 0]


def squared_gradient(
    output: Tensor, root: Tensor | None, pixels: Tensor, probes: int, generator: torch.Generator | None
) -> Tensor:
    """Mean over random v of ``(Jᵀ·root·v)²``, summed over colours: (1, 1, H, W)."""
    total = torch.zeros(1, 1, *pixels.shape[2:])
    for _ in range(probes):
        v = torch.randn(output.shape, generator=generator)
        (gradient,) = torch.autograd.grad(output, pixels, v if root is None else v * root, retain_graph=True)
        total += gradient.float().square().sum(1, keepdim=True)
    return total / probes


def cells_of(values: Tensor, cell: int) -> Tensor:
    """Means over cells, those at the edge over what is there: (1, 1, H, W) → (⌈H/cell⌉, ⌈W/cell⌉)."""
    return F.avg_pool2d(values, cell, ceil_mode=True, count_include_pad=False)[0, 0]


def local_variance(picture: Tensor, cell: int) -> Tensor:
    """Variance of luma in each cell."""
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    luma = (picture * weights).sum(1, keepdim=True)
    return (cells_of(luma.square(), cell) - cells_of(luma, cell).square()).clamp(min=0) + 1e-5


def _run(teacher: Teacher, picture: Tensor, size: list[int], **options: bool) -> Any:
    if list(picture.shape[2:]) != size:
        picture = F.interpolate(picture, size, mode="bicubic", antialias=True)
    with autocast(picture.device.type):
        return teacher.model((picture - teacher.mean) / teacher.std, output_hidden_states=True, **options)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """Pixels uint8 (H, W, 3) → (1, 3, H, W) in 0…1."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255


@dataclass(frozen=True)
class Teachers:
    """What targets are measured with."""

    codec: Codec
    encoder: Teacher
    detector: TextDetector


def crop_targets(pixels: np.ndarray, number: int, teachers: Teachers) -> dict[str, np.ndarray]:
    """Maps of one training crop, float16 on cells of 16 pixels: `MAPS` without "tokens", and "text"."""
    low, high = QUALITIES
    quality = int(np.random.default_rng(number).integers(low, high + 1))
    picture = as_tensor(pixels)
    coded = as_tensor(teachers.codec.decode(teachers.codec.encode(pixels, quality)))
    generator = torch.Generator().manual_seed(number)
    found = maps(teachers.encoder, picture, coded, probes=PROBES, generator=generator)
    found["text"] = text_map(teachers.detector, picture)
    return {name: m.numpy().astype(np.float16) for name, m in found.items()}


def cache(sources: Sequence[Crops], count: int, out: Path, teachers: Teachers) -> Iterator[int]:
    """Write crops 0 … ``count`` - 1 with their maps into ``out``, one file each; goes on where it stopped.

    ``sources`` are taken in turn. Yields the numbers of the crops that are new.
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
