"""Files of all kinds by the Python package, for the tests of the JavaScript package, and the reverse.

python js/test/fixtures.py make FOLDER    # NAME.cotam, NAME.rgb (decoded), NAME.png (source), index.json
python js/test/fixtures.py check FOLDER   # decodes .cotam files there; prints sizes and PSNR as JSON
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import level_map, page, picture, screen  # noqa: E402

import cotam  # noqa: E402
from cotam.codec.allocation import fixed  # noqa: E402
from cotam.codec.flat import FlatCoder  # noqa: E402
from cotam.codec.lossless import encode_lossless  # noqa: E402
from cotam.codec.shared import codec  # noqa: E402
from cotam.format.header import File, Header, Kind  # noqa: E402
from cotam.gateway.patches import Patch, Rectangle, paste, write_patch  # noqa: E402
from cotam.image.psnr import psnr  # noqa: E402

QUALITY = 40


def stills() -> dict[str, tuple[np.ndarray, bytes]]:
    """Learned and standard stills: source pixels and file."""
    learned = codec("mllm")
    found = {}
    for name, pixels, levels in [
        ("photo", picture(150, 200, seed=1), None),
        ("levels", picture(130, 100, seed=2), level_map(130, 100, seed=3)),
        ("dot", picture(1, 1, seed=3), None),
        ("tiles", picture(96, 800, seed=4), None),
    ]:
        found[name] = pixels, learned.encode(pixels, QUALITY, allocator=fixed(levels)).data
    for name, pixels in [
        ("colours", page(90, 120) // 2),
        ("screen", screen(64, 150)),
        ("noise", np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)),
        ("smooth", picture(120, 130, seed=5)),
        ("wide", np.tile(screen(8, 300), (1, 5, 1))),
    ]:
        height, width = pixels.shape[:2]
        payload = encode_lossless(pixels)
        found[name] = pixels, File(Header(width, height, QUALITY, Kind.LOSSLESS), payload).data
    for name, pixels in [("av1", picture(70, 90, seed=6)), ("grey", page(60, 80))]:
        found[name] = pixels, FlatCoder(pixels, palette=False).encode(QUALITY).file.data
    return found


def patch(base_file: bytes) -> tuple[np.ndarray, bytes]:
    """Pixels and file of a patch that enlarges and changes a base."""
    base = np.asarray(cotam.decode(base_file))
    height, width = base.shape[0] + 20, base.shape[1] - 10
    places = [(0, base.shape[0], screen(20, width)), (10, 30, picture(40, 50, seed=7))]
    rectangles = [
        Rectangle(left, top, cotam.encode(pixels, quality=QUALITY, profile="mllm", guide="none"))
        for left, top, pixels in places
    ]
    made = Patch(width, height, hashlib.sha256(base_file).digest(), 1, rectangles)
    return paste(made, base), write_patch(made, QUALITY)


def sequence() -> tuple[list[np.ndarray], bytes]:
    """Decoded frames and file of a sequence with copied cells of all modes."""
    still, other = picture(128, 192, seed=8), picture(128, 192, seed=9)
    moved = still.copy()
    moved[:64, 64:128] = other[:64, 64:128]
    images = [still, moved, moved, still, other, still]
    chunks = cotam.encode_frames(
        [(number / 5, Image.fromarray(image)) for number, image in enumerate(images)], quality=QUALITY
    )
    data = b"".join(chunks)
    return [np.asarray(image) for _, image in cotam.decode_frames(data)], data


def make(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {}

    def put(name: str, data: bytes, decoded: list[np.ndarray], view: str = "mllm", **more: object) -> None:
        (folder / f"{name}.cotam").write_bytes(data)
        (folder / f"{name}.rgb").write_bytes(b"".join(one.tobytes() for one in decoded))
        height, width = decoded[0].shape[:2]
        index[name] = {"width": width, "height": height, "frames": len(decoded), "view": view} | more

    made = stills()
    for name, (pixels, data) in made.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
        put(name, data, [np.asarray(cotam.decode(data))], kind=cotam.info(data).kind)
    data = made["photo"][1]
    put("human", data, [np.asarray(cotam.decode(data, view="human"))], "human", kind="learned")
    decoded, data = patch(made["photo"][1])
    put("patch", data, [decoded], kind="patch", earlier="photo")
    frames, data = sequence()
    put("sequence", data, frames, kind="sequence")
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def corpus(folder: Path, quality: str, *paths: str) -> None:
    """Write images of at most 1024 pixels a side as PNG and as files."""
    for number, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        image.thumbnail((1024, 1024))
        name = f"{number:03}-{Path(path).stem}"
        image.save(folder / f"{name}.png")
        data = cotam.encode(image, quality=int(quality), profile="mllm", guide="none")
        (folder / f"{name}.python").write_bytes(data)


def check(folder: Path) -> None:
    """Print the size of each file's image, and its PSNR against ``NAME.png`` of the same size."""
    found = {}
    for path in sorted(folder.glob("*.cotam")):
        image = cotam.decode(path.read_bytes())
        source = Image.open(path.with_suffix(".png")).convert("RGB").resize(image.size)
        found[path.stem] = {"size": image.size, "psnr": psnr(np.asarray(source), np.asarray(image))}
    print(json.dumps(found))


if __name__ == "__main__":
    {"make": make, "corpus": corpus, "check": check}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
