"""Photos as a phone takes them: 12 megapixels, stored lying on their side; and what to ask of their copies.

Knows pixels and files: nothing of how the copies were made.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cotam.image.read import Pixels

__all__ = ["PHONE", "as_phone", "is_upright", "photographed"]

PHONE = (4032, 3024)
_ORIENTATION = 0x0112


def as_phone(image: Image.Image) -> tuple[bytes, Pixels]:
    """A JPEG file of a picture scaled to `PHONE`, turned by a quarter, with an EXIF orientation that says so.

    Returns
    -------
    (bytes, uint8 (H, W, 3))
        the file, and what is seen when it is shown upright, before JPEG
    """
    exif = Image.Exif()
    exif[_ORIENTATION] = 6  # shown right after a quarter turn clockwise
    size = PHONE if image.width >= image.height else PHONE[::-1]
    large = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    large.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=93, exif=exif)
    return buffer.getvalue(), np.asarray(large)


def photographed(page: Image.Image, table: Image.Image, seed: int) -> Image.Image:
    """A page that lies on a table, as an upright photo: not quite straight, lit from a side, with noise."""
    rng = np.random.default_rng(seed)
    width, height = PHONE[::-1]
    scene = table.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    scale = min(0.9 * width / page.width, 0.9 * height / page.height)
    size = round(page.width * scale), round(page.height * scale)
    sheet = page.convert("RGB").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    turned = sheet.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC, expand=True)
    scene.paste(turned, ((width - turned.width) // 2, (height - turned.height) // 2), turned)
    light = np.linspace(0.8, 1.0, width, dtype=np.float32)[:, None]
    noise = rng.standard_normal((height, width, 1), np.float32) * 3
    return Image.fromarray(np.clip(np.asarray(scene) * light + noise, 0, 255).astype(np.uint8))


def is_upright(sent: bytes, seen: Pixels) -> bool:
    """Whether a file shows a picture the right way up to readers that heed EXIF data, and to others."""
    with Image.open(io.BytesIO(sent)) as image:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            return False
        small = np.asarray(image.convert("RGB").resize((64, 64)), np.float32)
    wanted = np.asarray(Image.fromarray(seen).resize((64, 64)), np.float32)
    errors = [float(np.square(np.rot90(small, turns) - wanted).mean()) for turns in range(4)]
    return min(errors) == errors[0]
