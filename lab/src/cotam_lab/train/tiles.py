"""A small training set for a device: compressed tiles of one size in one file of limited size.

Tiles are stored as lossless WebP if that is small (text, screens, charts), else as AVIF of high quality. `load` decodes
all of them into one uint8 array, which a device keeps in its memory.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from cotam.errors import InputError
from cotam_lab.train.data import read_reduced

__all__ = ["SIDE", "load", "pack_tiles"]

SIDE = 512
AVIF_QUALITY = 88
LOSSLESS_BELOW = 60_000
"""Largest tile, in bytes, that is stored without loss."""


def pack_tiles(
    folders: Mapping[str, Sequence[Path]], out: Path, limit: int, *, text_share: float = 0.5
) -> dict[str, int]:
    """Write random tiles of images, given as kind → files, to ``out`` until it has ``limit`` bytes.

    "text" gets ``text_share`` of the tiles; other kinds share the rest by the square root of their number of files.
    Images smaller than a tile are left out. Returns kind → number of tiles.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    others = {kind: len(files) ** 0.5 for kind, files in folders.items() if kind != "text"}
    weights = {kind: (1 - text_share) * part / sum(others.values()) for kind, part in others.items()}
    if "text" in folders:
        weights["text"] = text_share if others else 1.0
    queues = {kind: rng.sample(list(files), len(files)) for kind, files in folders.items()}
    tiles: list[bytes] = []
    kinds: list[str] = []
    size, misses = 0, 0
    bar = tqdm(total=limit, desc="tiles", unit="B", unit_scale=True)
    while misses < 200:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        if not queues[kind]:
            queues[kind] = rng.sample(list(folders[kind]), len(folders[kind]))
        tile = _tile(read_reduced(queues[kind].pop()), rng)
        if tile is None:
            misses += 1
            continue
        data = _compress(tile)
        if size + len(data) > limit:
            break
        tiles.append(data)
        kinds.append(kind)
        size, misses = size + len(data), 0
        bar.update(len(data))
    bar.close()
    if not tiles:
        raise InputError(f"no image of at least {SIDE}×{SIDE} pixels fits into {limit} bytes")
    lengths = np.array([len(tile) for tile in tiles], np.int64)
    text = np.array([kind == "text" for kind in kinds])
    with out.open("wb") as file:  # given a path, NumPy would change its suffix
        np.savez(file, data=np.frombuffer(b"".join(tiles), np.uint8), lengths=lengths, text=text)
    return {kind: kinds.count(kind) for kind in folders}


def _tile(pixels: np.ndarray, rng: random.Random) -> np.ndarray | None:
    height, width = pixels.shape[:2]
    if min(height, width) < SIDE:
        return None
    top, left = rng.randint(0, height - SIDE), rng.randint(0, width - SIDE)
    return pixels[top : top + SIDE, left : left + SIDE]


def _compress(tile: np.ndarray) -> bytes:
    image, lossless, lossy = Image.fromarray(tile), io.BytesIO(), io.BytesIO()
    image.save(lossless, "WEBP", lossless=True, quality=50)
    if lossless.tell() <= LOSSLESS_BELOW:
        return lossless.getvalue()
    image.save(lossy, "AVIF", quality=AVIF_QUALITY, subsampling="4:4:4", speed=8)
    return min(lossless, lossy, key=lambda file: file.tell()).getvalue()


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load all tiles, uint8 (N, `SIDE`, `SIDE`, 3), and which are rendered text, bool (N,)."""
    with np.load(path) as arrays:
        data, lengths, text = arrays["data"], arrays["lengths"], arrays["text"]
    tiles = np.empty((len(lengths), SIDE, SIDE, 3), np.uint8)
    ends = np.cumsum(lengths)

    def decode(number: int) -> None:
        part = data[ends[number] - lengths[number] : ends[number]]
        with Image.open(io.BytesIO(part.tobytes())) as image:
            tiles[number] = np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, range(len(lengths))))
    return tiles, text
