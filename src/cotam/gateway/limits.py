"""Limits and defaults of a gateway."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FPS", "MAX_FRAMES", "MAX_IMAGES", "Limits"]

FPS, MAX_FRAMES = 1.0, 32
"""Default sampling of videos."""

MAX_IMAGES = 600
"""Default limit of images in a request, as many as any hosted API takes."""


@dataclass(frozen=True)
class Limits:
    """Limits of a gateway: bytes of a request, requests in progress, images in a request, pixels of an image.

    ``jobs`` threads process images; one more makes comparisons for the page.
    """

    body: int
    requests: int
    images: int
    pixels: int
    jobs: int
