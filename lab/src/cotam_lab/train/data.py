"""Training images: pack folders into one memory-mapped file, and draw crops from it by step number.

A batch depends only on (seed, step, rank), so that a resumed run continues exactly.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from cotam.errors import InputError
from cotam.image.read import to_rgb
from cotam_lab.bench.images import SUFFIXES, reduced

LONG_SIDE = 2000
"""Largest side of packed photographs; the reduction also removes their JPEG artefacts."""


def image_files(folder: Path, *, hold_out_tenth: bool) -> list[Path]:
    """Return the image files below ``folder``, sorted by name, without 0, 10, 20 … if those are held out."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"no images below {folder}: expected {', '.join(sorted(SUFFIXES))}")
    return [p for i, p in enumerate(found) if not hold_out_tenth or i % 10]


def read_reduced(path: Path) -> np.ndarray:
    """Read an image as `cotam.encode` does, reduced to `LONG_SIDE` pixels: uint8 (H, W, 3)."""
    return np.asarray(reduced(Image.fromarray(to_rgb(path)), LONG_SIDE))


def pack(folders: Mapping[str, Sequence[Path]], out: Path, *, smallest: int = 128) -> dict[str, int]:
    """Write all images, given as kind → files, into ``out/pixels.u8`` and ``out/index.json``.

    Images with a side below ``smallest`` are left out. Returns kind → number of packed images.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, int, int, int]] = []
    with (out / "pixels.u8").open("wb") as file:
        for kind, paths in folders.items():
            for path in tqdm(paths, desc=f"pack {kind}", unit="image"):
                pixels = read_reduced(path)
                if min(pixels.shape[:2]) < smallest:
                    continue
                rows.append((kind, file.tell(), pixels.shape[0], pixels.shape[1]))
                file.write(np.ascontiguousarray(pixels).data)
    (out / "index.json").write_text(json.dumps(rows))
    return {kind: sum(row[0] == kind for row in rows) for kind in folders}


class Crops:
    """Random crops of a pack; the same step always gives the same crops.

    Parameters
    ----------
    text_share : of the crops; other kinds share the rest by the square root of their number of images, so that
        large folders count more, but small ones still count
    largest_shrink : photographs are reduced by a random factor from 1 to this before cropping
    """

    def __init__(
        self, folder: Path, *, size: int, seed: int = 0, text_share: float = 0.5, largest_shrink: float = 2.0
    ) -> None:
        rows = json.loads((folder / "index.json").read_text())
        self.pixels = np.memmap(folder / "pixels.u8", np.uint8, "r")
        self.size, self.seed, self.largest_shrink = size, seed, largest_shrink
        self.kinds: dict[str, list[tuple[int, int, int]]] = {}
        self.small: Counter[str] = Counter()
        for kind, offset, height, width in rows:
            if min(height, width) >= size:
                self.kinds.setdefault(kind, []).append((offset, height, width))
            else:
                self.small[kind] += 1
        if not self.kinds:
            raise InputError(f"{folder} has no image of at least {size}×{size} pixels")
        share = {"text": text_share} if "text" in self.kinds else {}
        roots = {kind: len(own) ** 0.5 for kind, own in self.kinds.items() if kind != "text"}
        rest = 1 - sum(share.values())
        share |= {kind: rest * (root / sum(roots.values())) for kind, root in roots.items()}
        self.names, self.weights = list(share), list(share.values())

    def left_out(self) -> str:
        """Describe the images that are too small for crops of this size; "" if there are none."""
        if not self.small:
            return ""
        counts = (
            f"{few} of {few + len(self.kinds.get(kind, ()))} {kind}" for kind, few in self.small.items()
        )
        return f"left out, smaller than {self.size}×{self.size}: {', '.join(counts)}"

    def batch(self, step: int, count: int, rank: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return the crops of a step and rank, uint8 (count, size, size, 3), and which are text, bool (count,)."""
        rng = random.Random(f"{self.seed} {step} {rank}")
        crops, kinds = zip(*(self._crop(rng) for _ in range(count)), strict=True)
        return np.stack(crops), np.array([kind == "text" for kind in kinds])

    def whole(self, count: int, largest: int = 832) -> Iterator[np.ndarray]:
        """Yield random images, uint8 (H, W, 3), cropped to multiples of 64 of at most ``largest`` pixels."""
        rng = random.Random(self.seed)
        for _ in range(count):
            kind = rng.choices(self.names, self.weights)[0]
            offset, height, width = rng.choice(self.kinds[kind])
            image = self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)
            rows, columns = (min(side // 64 * 64, largest) for side in (height, width))
            top, left = rng.randint(0, height - rows), rng.randint(0, width - columns)
            yield np.asarray(image[top : top + rows, left : left + columns])

    def _crop(self, rng: random.Random) -> tuple[np.ndarray, str]:
        kind = rng.choices(self.names, self.weights)[0]
        offset, height, width = rng.choice(self.kinds[kind])
        limit = min(height, width) / self.size
        shrink = 1.0
        if kind != "text" and rng.random() < 0.6:
            shrink = min(limit, rng.uniform(1.0, self.largest_shrink))
        side = min(round(self.size * shrink), height, width)
        top, left = rng.randint(0, height - side), rng.randint(0, width - side)
        image = self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)
        crop = np.asarray(image[top : top + side, left : left + side])
        if side != self.size:
            resized = Image.fromarray(crop).resize((self.size, self.size), Image.Resampling.BICUBIC)
            crop = np.asarray(resized)
        if kind != "text":  # mirrored text is not read
            if rng.random() < 0.5:
                crop = crop[:, ::-1]
            if rng.random() < 0.25:
                crop = crop.transpose(1, 0, 2)
        return crop, kind

    def stream(
        self, first: int, last: int, count: int, rank: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches of steps first … last-1; threads prepare the next ones."""
        threads = max(1, min(8, (os.cpu_count() or 1) // 2))
        with ThreadPoolExecutor(threads) as pool:
            begun = range(first, min(first + threads, last))
            ahead = deque(pool.submit(self.batch, step, count, rank) for step in begun)
            for step in range(first, last):
                ready = ahead.popleft().result()
                if step + threads < last:
                    ahead.append(pool.submit(self.batch, step + threads, count, rank))
                yield ready


def random_levels(
    rng: np.random.Generator, count: int, height: int, width: int, limit: int = 4
) -> np.ndarray:
    """Draw gain offset maps for training, float32 (count, 1, height, width), integers in ±limit.

    Half are zero, for files without a guide; the rest are blocks, gradients, smooth noise or one value, to cover
    the maps of any guide.
    """
    maps = np.zeros((count, 1, height, width), np.float32)
    for one in maps[:, 0]:
        kind = rng.integers(8)
        amplitude = rng.uniform(0.5, limit)
        if kind == 0:
            one += rng.uniform(-amplitude, amplitude)
        elif kind == 1:
            y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
            angle = rng.uniform(0, 2 * np.pi)
            one += amplitude * 2 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
        elif kind == 2:
            top, left = rng.integers(height), rng.integers(width)
            one -= amplitude / 2
            one[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] += (
                1.5 * amplitude
            )
        elif kind == 3:
            coarse = rng.normal(0, amplitude, (max(1, height // 2), max(1, width // 2))).astype(np.float32)
            one += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(np.rint(maps), -limit, limit)
