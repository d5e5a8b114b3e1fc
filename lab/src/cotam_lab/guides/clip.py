"""The guide of arXiv 2509.24258: attention in the first layers of CLIP, SigLIP or DINOv2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cotam.errors import InputError
from cotam.guide.onnx import size_seen
from cotam.guide.resize import resize_bilinear
from cotam_lab.nets.export import stored_small, to_onnx
from cotam_lab.nets.teachers import REVISIONS, Teacher, load_teacher

__all__ = ["ClipGuide"]

FLOOR = 1e-4  # of the mean: a softmax may give 0, an importance is positive


class Attention(nn.Module):
    """pixels uint8 (B, H, W, 3) → importance float32 (B, H/patch, W/patch), positive, mean 1.

    The attention of the [CLS] token over the patches, mean of the heads and of ``layers``, counted from 1.
    SigLIP has no [CLS] token: a patch counts by the mean attention that all tokens pay it.
    """

    def __init__(self, teacher: Teacher, layers: Sequence[int]) -> None:
        super().__init__()
        self.teacher, self.layers = teacher, sorted(set(layers))

    def forward(self, pixels: Tensor) -> Tensor:
        patch, prefix = self.teacher.patch, self.teacher.prefix
        image = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        seen = self.teacher.run(image, output_attentions=True).attentions
        rows = torch.stack([seen[number - 1].mean(1) for number in self.layers]).mean(0)
        row = (rows[:, 0] if prefix else rows.mean(1))[:, prefix:]
        row = torch.maximum(row, FLOOR * row.mean(1, keepdim=True))
        grid = pixels.shape[1] // patch, pixels.shape[2] // patch
        return (row / row.mean(1, keepdim=True)).unflatten(1, grid)


class ClipGuide:
    """A guide (`cotam.guide.base.Guide`) that runs the first layers of a vision encoder in torch.

    Attributes
    ----------
    name : model, commit if it has one, and layers
    side : long side in pixels of the encoder's input
    multiple : patch size: both sides are multiples of it
    """

    def __init__(
        self, name_or_folder: str, *, revision: str | None = None, layers: Sequence[int] = (1, 2, 3)
    ) -> None:
        """Load the layers that are used, see `cotam_lab.nets.teachers.load_teacher`.

        Parameters
        ----------
        name_or_folder : folder that transformers saved, or model of the hub such as "facebook/dinov2-small"
        revision : commit or branch of the hub; None is the one in `REVISIONS`, else main
        layers : from 1

        Raises InputError if the model cannot be loaded, or does not have these layers.
        """
        if not layers or min(layers) < 1:
            raise InputError(f"layers are numbers from 1, got {', '.join(map(str, layers)) or 'none'}")
        revision = revision or REVISIONS.get(name_or_folder)
        teacher = load_teacher(name_or_folder, revision=revision, attention=True, depth=max(layers))
        self._network = Attention(teacher, layers).eval()
        self.side, self.multiple = teacher.side, teacher.patch
        folder = Path(name_or_folder)
        model = folder.resolve().name if folder.is_dir() else name_or_folder
        commit = f"@{revision[:7]}" if revision and not folder.is_dir() else ""
        self.name = f"{model}{commit}, mean of layers {', '.join(map(str, self._network.layers))}"

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return the size (h, w) to which an image of this size is resized."""
        return size_seen(height, width, self.side, self.multiple, enlarge=True)

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Return importance, float32 (gh, gw), positive and of mean 1, of pixels uint8 (H, W, 3).

        There is one value per patch of the encoder, on a grid over the whole image.
        """
        seen = resize_bilinear(pixels, self.size_for(*pixels.shape[:2]))
        with torch.inference_mode():
            return self._network(torch.from_numpy(seen.copy())[None])[0].numpy()

    def onnx(self, *, small: bool = False) -> bytes:
        """Export the guide as ONNX (docs/guide.md); ``small`` stores weights as int8.

        Raises InputError for DINOv2 with registers, whose antialiased positions ONNX cannot resize.
        """
        if self._network.teacher.prefix > 1:
            raise InputError(f"{self.name} has registers and cannot be exported: take a model without")
        # Distinct sides: the exporter would merge equal ones into one dimension.
        example = torch.zeros(1, 2 * self.multiple, 3 * self.multiple, 3, dtype=torch.uint8)
        model = to_onnx(self._network, {"pixels": example}, channels_last=True, outputs=["importance"])
        if small:
            model = stored_small(model)
        about = {"": 1, ".kind": "vit", ".side": self.side, ".multiple": self.multiple, ".name": self.name}
        for key, value in about.items():
            model.metadata_props.add(key=f"cotam.guide{key}", value=str(value))
        return model.SerializeToString(deterministic=True)
