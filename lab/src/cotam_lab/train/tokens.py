"""Train a token adapter with a frozen codec and a frozen teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cotam.codec.still import Codec as RuntimeCodec
from cotam.codec.weights import WeightSet
from cotam.errors import InputError
from cotam.runtime import OnnxRunner
from cotam_lab.nets.adapter import TokenAdapter, View, added
from cotam_lab.nets.codec import Codec
from cotam_lab.nets.teachers import Teacher, distances
from cotam_lab.train.data import pictures, read_rgb
from cotam_lab.train.losses import CodedTokens, draw_side

EVALUATED = (10, 30, 50)
"""Qualities in `on_folder`."""


class WithTokens(nn.Module):
    """A frozen codec and a trainable adapter, whose state alone is in checkpoints."""

    def __init__(
        self, adapter: TokenAdapter, codec: Codec, teacher: Teacher, *, adapted: bool = False
    ) -> None:
        """``adapted`` says whether the view of the teacher uses the image adapter."""
        super().__init__()
        self.adapter, self.adapted = adapter, adapted
        # Not submodules, so that they are neither trained, averaged nor in checkpoints.
        self.frozen = (codec.eval().requires_grad_(False), teacher)

    # Sizes change from step to step, and the frozen codec does most of the work.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self, picture: Tensor, quality: Tensor, levels: Tensor, *, noise: bool, **_: Any
    ) -> CodedTokens:
        """Code images as `Codec.forward`; the teacher sees half of the batches reduced."""
        return self.at(picture, quality, levels, draw_side(picture, self.frozen[1].patch), noise)

    def at(
        self,
        picture: Tensor,
        quality: Tensor,
        levels: Tensor,
        side: int | None,
        noise: bool,
    ) -> CodedTokens:
        """Code images for a teacher that sees them at a long side of ``side``."""
        codec, teacher = self.frozen[0].to(picture.device), self.frozen[1]
        with torch.no_grad():
            coded = codec(picture, quality, levels, noise=noise, adapted=self.adapted)
            _, gain = codec.gain_maps(quality, levels, coded.latents.shape[2:])
        size = picture.shape[2], picture.shape[3]
        view = View.of(size, teacher.patch, resized=teacher.reduced(*size, side))
        tokens = self.adapter(coded.latents, gain, view)
        return CodedTokens(**vars(coded), tokens=tokens, side=side)

    @torch.no_grad()
    def calibrate(self, crops: np.ndarray) -> None:
        """Normalise the adapter's inputs by the latents of crops uint8 (B, H, W, 3) at all qualities."""
        picture = _tensor(crops)
        quality = torch.linspace(0, 100, len(crops)).long()
        levels = torch.zeros(len(crops), 1, picture.shape[2] // 32, picture.shape[3] // 32)
        self.adapter.calibrate(self.frozen[0](picture, quality, levels, noise=False).latents)


Evaluate = Callable[[WithTokens, int], dict[str, float]]


def on_folder(folder: Path, teacher: Teacher, count: int = 12) -> Evaluate:
    """Return an evaluation on ``count`` images of a folder: distances by level, with and without tokens.

    Images are cropped to the centre, 64 to 448 pixels a side; symbols are rounded as in files.
    """
    files = pictures(folder, hold_out_tenth=False)
    files = files[:: max(1, len(files) // count)][:count]

    @torch.no_grad()
    def evaluate(model: WithTokens, step: int) -> dict[str, float]:
        sums: dict[str, float] = {}
        device = next(model.parameters()).device
        for file in files:
            picture = _tensor(_middle(read_rgb(file), 448)[None]).to(device)
            levels = torch.zeros(1, 1, picture.shape[2] // 32, picture.shape[3] // 32, device=device)
            theirs = teacher(picture)
            for quality in EVALUATED:
                coded = model.at(picture, torch.tensor([quality], device=device), levels, None, noise=False)
                decoded = coded.picture.clamp(0, 1)
                with added(teacher.model, coded.tokens):
                    ours = teacher(decoded)
                for key, seen in (("", ours), ("_without", teacher(decoded))):
                    for name, distance in distances(seen, theirs).items():
                        label = f"{name}{quality}{key}"
                        sums[label] = sums.get(label, 0.0) + float(distance) / len(files)
        return sums

    return evaluate


def check_network(network: Codec, weights: WeightSet, crop: np.ndarray) -> None:
    """Check that torch weights are those of a weight set, by the latents of a crop uint8 (H, W, 3).

    Raises
    ------
    InputError
        If the latents differ, for which tokens would be useless.
    """
    runtime = RuntimeCodec(weights, OnnxRunner(weights.folder))
    levels = torch.zeros(1, 1, crop.shape[0] // 32, crop.shape[1] // 32)
    with torch.no_grad():
        ours = network(_tensor(crop[None]), torch.tensor([50]), levels, noise=False).latents[0].numpy()
    theirs = runtime.decode_latents(runtime.encode(np.ascontiguousarray(crop), 50)).values
    if ours.shape != theirs.shape or not np.abs(ours - theirs).mean() <= 0.05 * theirs.std():
        raise InputError(f"the network's weights are not those of weight set {weights.name!r}")


def _tensor(crops: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 255


def _middle(pixels: np.ndarray, side: int) -> np.ndarray:
    """Crop the centre of an image, with sides multiples of 64 up to ``side``."""
    height, width = (min(side, n) // 64 * 64 for n in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
