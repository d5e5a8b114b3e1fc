"""A frozen codec with a trainable token adapter: ``python -m cotam_lab.train tokens``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cotam.codec.still import Codec as RuntimeCodec
from cotam.codec.views import VIEWS
from cotam.errors import InputError
from cotam_lab.nets.adapter import TokenAdapter, View
from cotam_lab.nets.codec import Codec
from cotam_lab.nets.teachers import Teacher, as_tensor
from cotam_lab.train.checkpoints import exported, load_codec
from cotam_lab.train.losses import CodedTokens, draw_side

__all__ = ["WithTokens", "check_network", "with_new_adapter"]


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
        self, image: Tensor, quality: Tensor, levels: Tensor, *, noise: bool, **_: Any
    ) -> CodedTokens:
        """Code images as `Codec.forward`; the teacher sees half of the batches reduced."""
        return self.at(image, quality, levels, draw_side(image, self.frozen[1].patch), noise)

    def at(
        self, image: Tensor, quality: Tensor, levels: Tensor, side: int | None, noise: bool
    ) -> CodedTokens:
        """Code images for a teacher that sees them at a long side of ``side``."""
        codec, teacher = self.frozen[0].to(image.device), self.frozen[1]
        with torch.no_grad():
            coded = codec(image, quality, levels, noise=noise, adapted=self.adapted)
            _, gain = codec.gain_maps(quality, levels, coded.latents.shape[2:])
        size = image.shape[2], image.shape[3]
        view = View.of(size, teacher.patch, resized=teacher.reduced(*size, side))
        tokens = self.adapter(coded.latents, gain, view)
        return CodedTokens(**vars(coded), tokens=tokens, side=side)

    @torch.no_grad()
    def calibrate(self, crops: np.ndarray) -> None:
        """Scale the adapter's inputs by the latents of crops uint8 (B, H, W, 3) over all qualities."""
        image = as_tensor(crops)
        quality = torch.linspace(0, 100, len(crops)).long()
        levels = torch.zeros(len(crops), 1, image.shape[2] // 32, image.shape[3] // 32)
        self.adapter.calibrate(self.frozen[0](image, quality, levels, noise=False).latents)


def check_network(network: Codec, runtime: RuntimeCodec, crop: np.ndarray) -> None:
    """Make sure that torch weights are those of a weight set: latents of a crop uint8 (H, W, 3) agree.

    Raises InputError if they do not: tokens would be trained for latents that no file has.
    """
    levels = torch.zeros(1, 1, crop.shape[0] // 32, crop.shape[1] // 32)
    with torch.no_grad():
        ours = network(as_tensor(crop), torch.tensor([50]), levels, noise=False).latents[0].numpy()
    theirs = runtime.decode_latents(runtime.encode(np.ascontiguousarray(crop), 50)).values
    if ours.shape != theirs.shape or not np.abs(ours - theirs).mean() <= 0.05 * theirs.std():
        raise InputError(f"the network's weights are not those of weight set {runtime.weights.name!r}")


def with_new_adapter(
    network: Path, chosen: str, teacher: Teacher, ratio: float, crops: np.ndarray
) -> WithTokens:
    """Put a new adapter, calibrated by ``crops``, on the frozen codec of a weight set.

    Parameters
    ----------
    network : the codec's weights in torch
    chosen : the weight set, name or folder
    ratio : width of the adapter's MLP relative to its input
    crops : uint8 (B, H, W, 3)

    Raises InputError if the weights are not those of the set.
    """
    runtime, codec = exported(chosen), load_codec(network)
    check_network(codec.eval(), runtime, crops[0])
    weights = runtime.weights
    about = {"encoder": teacher.name, "weights": weights.digest.hex()}
    adapter = TokenAdapter(codec.shape.latents, teacher.width, ratio=ratio, **about)
    model = WithTokens(adapter, codec, teacher, adapted=bool(weights.views[VIEWS.index("mllm")]))
    model.calibrate(crops)
    return model
