"""Images, level maps and metadata for tests, made from a seed; no file is read."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = "Milk 1.20 Bread 3.45 Total 12 EUR thank you for coming "


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Like a photograph in its statistics, uint8 (height, width, 3): 1/f noise and shapes with edges."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    amplitude = 1 / np.maximum(frequency, 1 / max(height, width)) ** 1.3
    pixels = np.empty((height, width, 3))
    shared = rng.standard_normal((height, width))
    for channel in range(3):
        noise = shared + 0.3 * rng.standard_normal((height, width))
        pixels[:, :, channel] = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, (height, width))
    pixels = (pixels - pixels.mean()) / max(pixels.std(), 1e-9) * 45 + 120
    for _ in range(6):
        top, left = rng.integers(height), rng.integers(width)
        bottom, right = top + rng.integers(1, height // 2 + 2), left + rng.integers(1, width // 2 + 2)
        pixels[top:bottom, left:right] += rng.uniform(-60, 60, 3)
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


def page(height: int, width: int, letters: int = 16) -> np.ndarray:
    """Black lines of text on white, uint8 (height, width, 3); ``letters`` are so many pixels high."""
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(letters)
    for number, top in enumerate(range(letters // 2, height - letters, letters * 8 // 5)):
        draw.text((letters // 2, top), WORDS[number % 20 :] * (width // 99 + 1), "black", font)
    return np.asarray(image)


def level_map(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth levels int8 in ±7 for an image of this size."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: -(-height // 32), : -(-width // 32)]
    angle, period = rng.uniform(0, 2 * np.pi, 2), rng.uniform(8, 14)
    wave = np.sin(rows / period * 2 + angle[0]) + np.cos(columns / period * 2 + angle[1])
    return np.clip(np.rint(3.5 * wave), -7, 7).astype(np.int8)


def screen(height: int, width: int) -> np.ndarray:
    """Flat colours with rows of small marks, as text has."""
    rng = np.random.default_rng(height * width)
    pixels = np.full((height, width, 3), 244, np.uint8)
    pixels[: height // 4] = 30, 60, 120
    marks = rng.random((height, width)) < 0.3
    marks &= (np.arange(height) % 12 < 8)[:, None] & (np.arange(width) % 50 < 40)
    pixels[marks] = 20
    return pixels
