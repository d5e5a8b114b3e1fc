"""Limits and defaults of a gateway."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FPS", "MAX_FRAMES", "MAX_IMAGES", "Limits"]

FPS, MAX_FRAMES = 1.0, 32
"""How videos are sampled unless the options or the request say otherwise."""

MAX_IMAGES = 600
"""Of a request, on edge and gateway: as many as any hosted API takes. A long session has many screenshots."""


@dataclass(frozen=True)
class Limits:
    """What a gateway takes on.

    Attributes
    ----------
    body : bytes of a request
    requests : in progress at a time
    images : in a request
    pixels : of an image
    jobs : threads that work on images; one more makes comparisons for the page
    """

    body: int
    requests: int
    images: int
    pixels: int
    jobs: int
