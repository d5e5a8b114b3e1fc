"""Draw lossless, text-rich training images from a seed.

A codec trained only on photos spoils text. This module draws pages, receipts, forms, code, screens, charts,
tables, banners, signs and slides (`cotam_lab.train.text_scenes`, `text_screens`, `text_charts`). Slightly less
than half of them stay as they are on a screen; the others pass a model of a camera or scanner. The same seed gives the
same bytes only with the same fonts, photos and versions of Pillow, FreeType and matplotlib.
"""

import io
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from cotam_lab.train import text_canvas, text_charts, text_scenes, text_screens
from cotam_lab.train.data import image_files
from cotam_lab.train.text_canvas import Size, hsv, smooth
from cotam_lab.train.text_words import Rng, log_uniform, pick

# Kind → scene, share of the images, and share of these that pass a camera or scanner.
SCENES = {
    "page": (text_scenes.page, 0.14, 0.65),
    "receipt": (text_scenes.receipt, 0.17, 0.9),
    "form": (text_scenes.form, 0.07, 0.6),
    "code": (text_screens.code, 0.06, 0.15),
    "interface": (text_screens.interface, 0.1, 0.15),
    "chart": (text_charts.chart, 0.12, 0.2),
    "infographic": (text_charts.infographic, 0.06, 0.2),
    "table": (text_scenes.table, 0.07, 0.55),
    "banner": (text_screens.banner, 0.16, 0.6),
    "sign": (text_screens.sign, 0.12, 0.95),
    "slide": (text_screens.slide, 0.04, 0.4),
}
CRISP = {"page", "code", "interface", "table"}  # kinds a screen may show with subpixel colours
FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


def render(seed: int, size: Size = (640, 640)) -> np.ndarray:
    """Render the image of a seed, uint8 (height, width, 3) RGB; ``size`` is (width, height)."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum([share for _, share, _ in SCENES.values()])
    kind = list(SCENES)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
    scene, _, spoiled = SCENES[kind]
    subpixels = kind in CRISP and rng.random() < 0.12
    scale = 3.0 if subpixels else 1.0 if rng.random() < 0.6 else rng.uniform(1.1, 2.5)
    image = scene(rng, size, scale)
    if subpixels:
        image = _striped(image, size)
    elif scale > 1:
        image = image.resize(size, pick(rng, FILTERS))
    return np.array(degrade(rng, image) if rng.random() < spoiled else image)


def _striped(image: Image.Image, size: Size) -> Image.Image:
    """Reduce to a third as a font renderer does that samples each colour at its own stripe of the pixel."""
    rows = np.asarray(image.resize((image.width, size[1]), Image.Resampling.BOX), np.float32)
    padded = np.pad(rows, ((0, 0), (2, 2), (0, 0)), mode="edge")
    weights = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)  # FreeType's filter against colour fringes
    soft = sum(weight * padded[:, i : i + rows.shape[1]] for i, weight in enumerate(weights))
    stripes = [soft[:, channel::3, channel] for channel in range(3)]
    return Image.fromarray(np.stack(stripes, -1).round().clip(0, 255).astype(np.uint8))


def degrade(rng: Rng, image: Image.Image) -> Image.Image:
    """Pass a clean image through a model of a camera or scanner, each flaw with its own probability."""
    if rng.random() < 0.5:
        image = _turned(rng, image)
    if rng.random() < 0.55:
        image = image.filter(ImageFilter.GaussianBlur(log_uniform(rng, 0.3, 1.5)))
    if rng.random() < 0.1:
        kernel = np.zeros((5, 5))
        kernel[(2, slice(None)) if rng.random() < 0.5 else (slice(None), 2)] = rng.random(5)
        image = image.filter(ImageFilter.Kernel((5, 5), kernel.ravel().tolist(), kernel.sum()))
    if rng.random() < 0.25:  # reduced and enlarged, as images on the web are
        part = rng.uniform(0.5, 0.95)
        small = image.resize((round(image.width * part), round(image.height * part)), pick(rng, FILTERS))
        image = small.resize(image.size, pick(rng, FILTERS[1:]))
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(0.6, 2), int(rng.uniform(30, 150)), 1))
    image = _lit(rng, image)
    if rng.random() < 0.38:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(75, 96)), subsampling=pick(rng, (0, 2, 2)))
        image = Image.open(buffer).convert("RGB")
    return image


def _turned(rng: Rng, image: Image.Image) -> Image.Image:
    """Rotate a little, and sometimes change the perspective; the area outside the image gets a plain colour."""
    width, height = image.size
    angle = rng.normal() * 0.03
    square = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    middle = square.mean(0)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    corners = (square - middle) @ turn * rng.uniform(0.8, 1.08) + middle
    if rng.random() < 0.5:
        corners += rng.normal(0, 0.02, (4, 2)) * (width, height)
    rows = []  # the homography that sends each corner of the result to its place in the source
    for (x, y), (u, v) in zip(square, corners, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
    solved = np.linalg.solve(np.array(rows), corners.ravel())
    fill = pick(rng, ((255, 255, 255), (0, 0, 0), hsv(rng.random(), 0.4 * rng.random(), rng.random())))
    way = Image.Transform.PERSPECTIVE
    return image.transform(image.size, way, solved.tolist(), Image.Resampling.BICUBIC, fillcolor=fill)


def _lit(rng: Rng, image: Image.Image) -> Image.Image:
    """Change contrast, light and colour balance, then add paper texture and sensor noise."""
    pixels = np.asarray(image, np.float32)
    if rng.random() < 0.5:
        low, high = 70 * rng.random() ** 2, 255 - 90 * rng.random() ** 2
        pixels = low + pixels * ((high - low) / 255)
    if rng.random() < 0.35:
        light = 1 + smooth(rng, image.size, (pick(rng, (1, 2, 4)), rng.uniform(0.03, 0.14)))
        pixels = pixels * light[..., None]
    if rng.random() < 0.3:
        pixels = pixels * ((1 + rng.uniform(-0.06, 0.03, 3)) * rng.uniform(0.9, 1.03)).astype(np.float32)
    if rng.random() < 0.25:
        strength = rng.uniform(0.5, 4)
        pixels = pixels + smooth(rng, image.size, (120, strength), (300, strength))[..., None]
    kind, strength = rng.random(), log_uniform(rng, 0.6, 9)
    if kind < 0.35:
        pixels = pixels + strength * rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32)
    elif kind < 0.6:
        pixels = pixels + strength * rng.standard_normal(pixels.shape, dtype=np.float32)
    elif kind < 0.8:  # grains wider than a pixel, as after a camera's own denoising
        cells = max(image.size) / rng.uniform(1.3, 3)
        pixels = pixels + np.stack([smooth(rng, image.size, (cells, strength)) for _ in range(3)], -1)
    if rng.random() < 0.3:  # scanners burn the paper out to white
        pixels = (pixels - 128) * rng.uniform(1, 1.3) + 128 + rng.uniform(0, 25)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def _write(folder: Path, size: Size, seed: int) -> None:
    Image.fromarray(render(seed, size)).save(folder / f"text-{seed:06d}.png", compress_level=1)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", default=600, show_default=True, help="Number of images.")
@click.option(
    "--seed", default=0, show_default=True, help="Seed of the first image; each further one adds one."
)
@click.option("--size", default=640, show_default=True, help="Width and height in pixels.")
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of photographs for the scenes; without it they are painted. Every tenth by name is left out.",
)
@click.option("--jobs", default=os.cpu_count() or 1, show_default="the number of cores", help="Processes.")
def main(out: Path, count: int, seed: int, size: int, photos: Path | None, jobs: int) -> None:
    """Write text-rich training images as OUT/text-SEED.png, with six digits."""
    out.mkdir(parents=True, exist_ok=True)
    paths = image_files(photos, hold_out_tenth=True) if photos else []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, text_canvas.use_photos, (paths,)) as pool:
        done = pool.map(partial(_write, out, (size, size)), range(seed, seed + count), chunksize=8)
        for _ in tqdm(done, total=count, unit="image"):
            pass


if __name__ == "__main__":
    main()
