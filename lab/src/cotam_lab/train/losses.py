"""Training losses: rate, and distances in pixels and in the features of a vision encoder and a text recogniser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam_lab.nets.adapter import added
from cotam_lab.nets.codec import LAMBDA_HIGH, LAMBDA_LOW, Coded, tradeoff
from cotam_lab.nets.entropy import STEPS_PER_OCTAVE
from cotam_lab.nets.teachers import Features, Reader, Teacher, distances, reader_distances
from cotam_lab.train.precision import autocast, bf16_pays

Parts = dict[str, Tensor]


@dataclass(frozen=True)
class CodedTokens(Coded):
    """Decoded images with tokens (B, patches, C) for a teacher that sees them at a long side of ``side``."""

    tokens: Tensor
    side: int | None


@dataclass(frozen=True)
class Batch:
    """The batch of a step.

    Attributes
    ----------
    image : (B, 3, H, W) float in 0 … 1, the originals
    quality : (B,) int64 in 0 … 100
    levels : (B, 1, H/32, W/32), gain offsets, integers in ±7
    text : (B,) bool, whether an image is rendered text
    progress : share of the run that is done, 0 … 1
    """

    image: Tensor
    quality: Tensor
    levels: Tensor
    text: Tensor
    progress: float


Loss = Callable[[Coded, Batch], Parts]
"""Returns the loss of a step as "loss", and its parts to log, as means over the batch."""


def rate_distortion(coded: Coded, batch: Batch) -> Parts:
    """Return (bpp + lambda · 255² · weighted MSE) / (lambda / middle lambda)**0.5.

    The weight of squared error is 2**(2 · levels / 4), the square of the gain offset. The division gives a relative
    change of rate the same weight at every quality.
    """
    return _total(coded, batch, squared_error(coded.image, batch))


def rate_contrast(coded: Coded, batch: Batch) -> Parts:
    """Return `rate_distortion` with `contrast_error` on text."""
    return _total(coded, batch, _contrast_on_text(coded.image, batch))


def _total(coded: Coded, batch: Batch, distortion: Tensor) -> Parts:
    """Return rate + lambda · distortion (B,), balanced over qualities, and what every loss logs."""
    cost = _bpp(coded, batch) + _lambda(batch) * distortion
    mse = (coded.image - batch.image).square().mean()
    return {"loss": (cost / _balance(batch)).mean(), "mse": mse, **_rates(coded, batch)}


def squared_error(decoded: Tensor, batch: Batch) -> Tensor:
    """Return the mean squared error weighted by gain offsets, (B,)."""
    return ((decoded - batch.image).square() * _pixel_weight(batch)).mean((1, 2, 3))


def contrast_error(decoded: Tensor, batch: Batch) -> Tensor:
    """Return the squared error weighted by `contrast_weight`, (B,): letters count more than the grain of paper."""
    weight = _pixel_weight(batch) * contrast_weight(batch.image)
    return ((decoded - batch.image).square() * weight).mean((1, 2, 3))


def _contrast_on_text(decoded: Tensor, batch: Batch) -> Tensor:
    return torch.where(batch.text, contrast_error(decoded, batch), squared_error(decoded, batch))


def contrast_weight(image: Tensor) -> Tensor:
    """Return weights of squared error, (B, 1, H, W) in 0.4 … 1.6.

    They grow with the range of values in `CONTRAST_WINDOW`, in the channel where it is largest: letters may differ from
    their ground in colour alone.
    """
    around = CONTRAST_WINDOW // 2
    most = F.max_pool2d(image, CONTRAST_WINDOW, 1, around)
    least = -F.max_pool2d(-image, CONTRAST_WINDOW, 1, around)
    return 0.4 + 1.2 * (most - least).amax(1, keepdim=True)


@dataclass(frozen=True)
class Weights:
    """Weights of the distances, relative to squared error in `rate_distortion`.

    Attributes
    ----------
    pixel : weight of squared error on photographs
    levels : level of the teacher → weight of its distance
    text_pixel : weight of squared error on text
    text_levels : factor of the weights of all levels on text
    reader : weight of the features of a text recogniser, on text
    contrast : whether the error on text is `contrast_error`
    high_from : share of the run before which only "patch" and "shallow" count
    """

    pixel: float
    levels: dict[str, float]
    text_pixel: float
    text_levels: float
    reader: float
    contrast: bool = False
    high_from: float = 0.0


SETTINGS = {
    "mllm": Weights(
        pixel=0.05,
        levels={"shallow": 0.4, "middle": 0.25, "late": 0.25, "deep": 0.25},
        text_pixel=0.3,
        text_levels=0.5,
        reader=0.8,
    ),
    "page": Weights(
        pixel=0.5,
        levels={"shallow": 0.2, "middle": 0.12, "late": 0.12, "deep": 0.12},
        text_pixel=0.7,
        text_levels=0.5,
        reader=0.4,
        contrast=True,
    ),
    # arXiv 2509.24258: 0.1 · patch embeddings + 1 · final tokens, the first alone at the start.
    "paper": Weights(
        pixel=0.0,
        levels={"patch": 0.1, "deep": 1.0},
        text_pixel=0.0,
        text_levels=1.0,
        reader=0.0,
        high_from=0.3,
    ),
}

UNITS = {"patch": 0.012, "shallow": 0.012, "middle": 0.015, "late": 0.013, "deep": 0.018}
"""Level → squared error per unit of distance, which brings the levels to one scale: that of the codec trained for MSE
at qualities 10 … 70, with DINOv2-S on 126² crops of the training set, rounded."""

CONTRAST_WINDOW = 9
"""Side, in pixels, of the window of `contrast_weight`: strokes of a letter and the gaps between them."""

READER_UNIT = 0.0095
"""Squared error per unit of `reader_distances`, as in `UNITS`."""


REDUCED = 0.77
"""Reduction of crops, 98 / 128: local crops in the training of DINOv2 have 98 pixels."""


def draw_side(image: Tensor, patch: int) -> int | None:
    """Draw the long side of the teacher's input in a step: in half of the steps reduced, else None."""
    return round(max(image.shape[2:]) * REDUCED) // patch * patch if torch.rand(()) < 0.5 else None


def level_loss(weights: Weights, batch: Batch, ours: Features, theirs: Features) -> tuple[Tensor, Parts]:
    """Return the distance for a teacher in units of squared error, (B,), and the mean of each level to log."""
    loss, parts = torch.zeros_like(batch.image[:, 0, 0, 0]), {}
    factor = 1 + batch.text.float() * (weights.text_levels - 1)
    for name, distance in distances(ours, theirs, _token_weight(batch, theirs)).items():
        parts[name] = distance.mean()
        late = name not in ("patch", "shallow") and batch.progress < weights.high_from
        loss = loss + (0.0 if late else weights.levels.get(name, 0.0)) * UNITS[name] * factor * distance
    return loss, parts


class Tokens(nn.Module):
    """The loss of a token adapter: the levels of a teacher, with tokens added to its input.

    The other parts of `MultiLevel` do not depend on tokens; qualities are weighted as there.
    """

    def __init__(self, teacher: Teacher, weights: Weights) -> None:
        super().__init__()
        self.teacher, self.weights = teacher, weights

    def forward(self, coded: Coded, batch: Batch) -> Parts:
        assert isinstance(coded, CodedTokens)
        with autocast(batch.image.device.type):
            with torch.no_grad():
                theirs = self.teacher(batch.image, coded.side)
            with added(self.teacher.model, coded.tokens):
                ours = self.teacher(coded.image.clamp(0, 1), coded.side)
        loss, parts = level_loss(self.weights, batch, ours, theirs)
        return {"loss": (_lambda(batch) * loss / _balance(batch)).mean(), **parts}


class MultiLevel(nn.Module):
    """Rate + lambda · (a · pixel + Σ b · level + c · reader), with levels of a teacher and features of a reader.

    In half of the steps the teacher sees the crop at its size, in the others reduced, as encoders see large images.
    """

    def __init__(self, teacher: Teacher, reader: Reader | None, weights: Weights) -> None:
        super().__init__()
        self.teacher, self.reader, self.weights = teacher, reader, weights
        if bf16_pays("cuda" if torch.cuda.is_available() else "cpu"):
            # Frozen weights, which autocast would convert in every call.
            teacher.model.to(torch.bfloat16)
        if reader is not None:
            reader.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, coded: Coded, batch: Batch) -> Parts:
        weights, image = self.weights, batch.image
        error = (_contrast_on_text if weights.contrast else squared_error)(coded.image, batch)
        loss = torch.where(batch.text, weights.text_pixel, weights.pixel) * error
        side = draw_side(image, self.teacher.patch)
        with autocast(image.device.type):
            with torch.no_grad():
                theirs = self.teacher(image, side)
            ours = self.teacher(coded.image.clamp(0, 1), side)
        levels, parts = level_loss(weights, batch, ours, theirs)
        loss = loss + levels
        if self.reader is not None and weights.reader and batch.text.any():
            read = self._read(coded.image[batch.text], image[batch.text])
            parts["reader"] = read.mean()
            loss = loss.index_add(0, batch.text.nonzero()[:, 0], weights.reader * READER_UNIT * read)
        return {**_total(coded, batch, loss), **parts}

    def _read(self, decoded: Tensor, image: Tensor) -> Tensor:
        """Return the distance for the reader in one window, enlarged twice, as it was trained on lines of 64 pixels."""
        assert self.reader is not None
        height, width = image.shape[2] // 2, image.shape[3]
        top = int(torch.randint(0, image.shape[2] - height + 1, ()))
        both = torch.cat([decoded.clamp(0, 1), image])[:, :, top : top + height, :width]
        both = F.interpolate(both, scale_factor=2, mode="bilinear")
        with autocast(image.device.type):
            seen = [maps.float().chunk(2) for maps in self.reader(both)]
        return reader_distances([ours for ours, _ in seen], [theirs.detach() for _, theirs in seen])


def _bpp(coded: Coded, batch: Batch) -> Tensor:
    return (coded.bits_y + coded.bits_z) / (batch.image.shape[2] * batch.image.shape[3])


def _rates(coded: Coded, batch: Batch) -> Parts:
    pixels = batch.image.shape[2] * batch.image.shape[3]
    return {"bpp_y": coded.bits_y.mean() / pixels, "bpp_z": coded.bits_z.mean() / pixels}


def _lambda(batch: Batch) -> Tensor:
    return tradeoff(batch.quality.float()) * 255**2


def _balance(batch: Batch) -> Tensor:
    return (tradeoff(batch.quality.float()) / math.sqrt(LAMBDA_LOW * LAMBDA_HIGH)) ** 0.5


def _pixel_weight(batch: Batch) -> Tensor:
    weight = torch.exp2(batch.levels * (2 / STEPS_PER_OCTAVE))
    return F.interpolate(weight, size=batch.image.shape[2:], mode="nearest")


def _token_weight(batch: Batch, features: Features) -> Tensor:
    """Return the weight of gain offsets on a teacher's tokens: (B, h·w)."""
    weight = torch.exp2(batch.levels * (2 / STEPS_PER_OCTAVE))
    return F.interpolate(weight, size=features.grid, mode="bilinear", align_corners=False).flatten(1)
