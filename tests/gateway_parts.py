"""Parts of requests for tests of converters, and what these make of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from gateway_servers import data_url
from PIL import Image

from cotam.gateway.converter import Job
from cotam.gateway.media import Media
from cotam.gateway.parts import Part

__all__ = ["only", "opened", "parts_of", "saved", "turned"]


def saved(pixels: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def parts_of(*urls: str) -> list[Part]:
    return [
        Part(("messages", 0, "content", number), ("image_url", "url"), "image", url)
        for number, url in enumerate(urls)
    ]


def opened(media: Media | None) -> tuple[str, Image.Image, int]:
    """Media type, image and size in bytes of what takes the place of an image."""
    assert media
    with Image.open(io.BytesIO(media.data)) as image:
        image.load()
        return media.media_type, image, len(media.data)


def only(converter: Any, *data: bytes, job: Job | None = None, media_type: str = "image/png") -> Media | None:
    """What takes the place of the first image, None if it stays."""
    found = parts_of(*(data_url(media_type, one) for one in data))
    return converter(found, job or Job()).get(found[0])


def turned(pixels: np.ndarray) -> bytes:
    """A JPEG whose EXIF says that it lies on its side; shown right it is ``pixels``."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(np.ascontiguousarray(np.rot90(pixels)), "JPEG", quality=95, exif=exif)


def turns_of(*urls: str, detail: str | None = None) -> list[Part]:
    """An image in each of as many messages."""
    return [
        Part(("messages", number, "content", 0), ("image_url", "url"), "image", url, detail=detail)
        for number, url in enumerate(urls)
    ]
