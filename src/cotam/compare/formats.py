"""The image formats that CoTAM is compared with, at good settings of Pillow."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from PIL import features as pillow_features

import cotam
from cotam.image.read import Pixels
from cotam.image.write import save_with_options

__all__ = ["COTAM", "Format", "installed_formats"]


@dataclass(frozen=True)
class Format:
    """A lossy image format with a quality."""

    name: str
    title: str  # as in text
    qualities: range  # all qualities of the format, increasing
    settings: dict[str, Any] = field(default_factory=dict)  # arguments of Pillow's `save` besides the quality

    @property
    def suffix(self) -> str:
        """Suffix of files, without its dot; also the name of the format in `PIL.features`."""
        return "jpg" if self.name == "jpeg" else self.name

    def encode(self, pixels: Pixels, quality: int) -> bytes:
        """Encode pixels, uint8 (H, W, 3), to the bytes of a file."""
        if self.name == "cotam":
            return cotam.encode(pixels, quality=quality)
        return save_with_options(
            Image.fromarray(pixels), self.title.upper(), quality=quality, **self.settings
        )

    def decode(self, data: bytes) -> Pixels:
        """Decode the bytes of a file to pixels, uint8 (H, W, 3)."""
        if self.name == "cotam":
            return np.asarray(cotam.decode(data))
        with Image.open(BytesIO(data), formats=[self.title.upper()]) as image:
            return np.asarray(image.convert("RGB"))


COTAM = Format("cotam", "CoTAM", range(101))

_OTHERS = (
    # 4:2:0 is what cameras and web tools write, and the best at low rates.
    Format("jpeg", "JPEG", range(1, 96), {"subsampling": "4:2:0", "optimize": True, "progressive": True}),
    Format("webp", "WebP", range(101), {"method": 6}),
    Format("avif", "AVIF", range(101), {"speed": 6, "max_threads": 1}),
)


def installed_formats() -> list[Format]:
    """Return those of JPEG, WebP and AVIF that this Pillow supports."""
    return [one for one in _OTHERS if pillow_features.check(one.suffix)]
