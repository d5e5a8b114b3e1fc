"""Files of all kinds by the Python package, for the tests of the JavaScript package, and the reverse.

python js/test/fixtures.py make FOLDER    # NAME.cotam, NAME.rgb (decoded), NAME.png (source), index.json
python js/test/fixtures.py contents FOLDER  # photographs and pages, what is found in them, resized ones
python js/test/fixtures.py check FOLDER   # decodes .cotam files there; prints sizes, PSNR and levels as JSON
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import level_map, page, picture, screen  # noqa: E402

import cotam  # noqa: E402
from cotam.codec.contrast import balanced_error  # noqa: E402
from cotam.codec.flat import FlatCoder  # noqa: E402
from cotam.codec.shared import codec  # noqa: E402
from cotam.codec.standard import encode_lossless  # noqa: E402
from cotam.errors import CotamError, FormatError  # noqa: E402
from cotam.format.changes import Changes, Copy, Rectangle, write_changes  # noqa: E402
from cotam.format.header import File, Header, Kind  # noqa: E402
from cotam.format.sequence import CodedFrame, SequenceReader, SequenceWriter, read_index  # noqa: E402
from cotam.gateway.patch_format import Patch, write_patch  # noqa: E402
from cotam.guide.content import examine  # noqa: E402
from cotam.guide.resize import resize_bilinear  # noqa: E402
from cotam.image.psnr import psnr  # noqa: E402
from cotam.pasted import checksum_of, paste  # noqa: E402

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
        found[name] = pixels, learned.encode(pixels, QUALITY, levels=levels).data
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
    for name, pixels in [
        ("av1", picture(70, 90, seed=6)),
        ("grey", page(60, 80)),
        ("screenshot", np.asarray(Image.open(ROOT / "samples" / "screen.webp").convert("RGB"))[:400, :640]),
    ]:
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
    changes = Changes([Copy(60, 8, 20, 30, 4, 50), Copy(64, 40, 9, 9, 60, 8)], rectangles)
    made = Patch(width, height, hashlib.sha256(base_file).digest(), 1, changes)
    return paste(base, made.changes, (height, width)), write_patch(made, QUALITY)


def sequence() -> tuple[list[np.ndarray], bytes]:
    """Decoded frames and file of a sequence with copied cells of all modes."""
    still, other = picture(128, 192, seed=8), picture(128, 192, seed=9)
    moved = still.copy()
    moved[:64, 64:128] = other[:64, 64:128]
    return coded([still, moved, moved, still, other, still])


def screens() -> tuple[list[np.ndarray], bytes]:
    """The same of a screen on which text and a photograph appear and are scrolled, between photographs."""
    photo, text = picture(128, 192, seed=8), page(128, 192)
    blank = np.full((128, 192, 3), 245, np.uint8)
    written, shown = blank.copy(), blank.copy()
    written[:48, :96] = text[:48, :96]
    shown[:48, :96] = text[:48, :96]
    shown[80:128, 96:160] = photo[80:128, 96:160]
    scrolled = np.roll(shown, -32, axis=0)
    return coded([photo, blank, written, shown, scrolled, photo])


def coded(images: list[np.ndarray]) -> tuple[list[np.ndarray], bytes]:
    """Decoded frames and file of a sequence with five frames a second."""
    frames = [(number / 5, Image.fromarray(image)) for number, image in enumerate(images)]
    data = b"".join(cotam.encode_frames(frames, quality=QUALITY))
    return [np.asarray(image) for _, image in cotam.decode_frames(data)], data


def damage(data: bytes) -> list[dict[str, object]]:
    """Places in a sequence, with the errors of reading it up to there, and with that byte inverted."""
    entries = read_index(data).entries
    heads = {entry.start + offset for entry in entries[:2] for offset in range(14)}
    index = range(entries[-1].start + entries[-1].size, len(data))
    found = []
    for at in sorted({*range(entries[0].start), *heads, *index}):
        changed = data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
        errors = []
        for one in (data[:at], changed):
            try:
                list(SequenceReader(BytesIO(one)).frames())
            except FormatError as error:
                errors.append(f"{type(error).__name__}: {error}")
            else:
                errors.append("")
        found.append({"at": at, "errors": errors})
    return found


def frame_damage(data: bytes) -> list[dict[str, object]]:
    """A place near the end of each frame, with the error of decoding with that byte inverted."""
    found = []
    for entry in read_index(data).entries:
        at = entry.start + entry.size - 9
        try:
            list(cotam.decode_frames(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]))
        except FormatError as error:
            found.append({"at": at, "error": f"{type(error).__name__}: {error}"})
    return found


def refused(data: bytes) -> list[dict[str, str]]:
    """Sequences with the header of ``data`` and one frame that no encoder writes, with their errors."""
    whole = cotam.encode(page(128, 192))
    frames = [
        (False, Changes([], [Rectangle(0, 0, whole)])),
        (True, Changes([Copy(0, 0, 192, 128, 0, 0)] * 3)),
        (True, Changes([Copy(0, 0, 192, 128, 0, 0)])),
        (True, Changes([], [Rectangle(1, 0, whole)])),
        (True, Changes([], [Rectangle(0, 0, data)])),
        (True, Changes([], [Rectangle(0, 0, b"")])),
        (True, Changes([], [Rectangle(0, 0, b"no file of ours")])),
        (True, Changes()),
    ]
    found = []
    for key, changes in frames:
        writer = SequenceWriter(SequenceReader(BytesIO(data)).header)
        frame = CodedFrame(key, key, False, write_changes(changes), pasted=True)
        frame = replace(frame, checksum=checksum_of(frame, writer.fields(0), 0))
        file = writer.start() + writer.chunk(0, frame) + writer.finish()
        try:
            list(cotam.decode_frames(file))
        except CotamError as error:
            found.append({"hex": file.hex(), "error": f"{type(error).__name__}: {error}"})
    return found


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
    for name, (frames, data) in {"sequence": sequence(), "screens": screens()}.items():
        put(name, data, frames, kind="sequence", damage=damage(data), frame_damage=frame_damage(data))
    index["screens"]["refused"] = refused(data)
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def contents(folder: Path) -> None:
    """Write images with what their content is found to be, and what `cotam.encode` makes of that."""
    folder.mkdir(parents=True, exist_ok=True)
    names = "kodim15", "kodim23", "page", "screen"
    samples = {name: np.asarray(Image.open(ROOT / "samples" / f"{name}.webp")) for name in names}
    photo = samples["kodim15"]
    large = np.tile(np.concatenate([photo, samples["kodim23"]]), (2, 3, 1))[:2000, :2101]
    lettered = photo.copy()
    lettered[100:210, 60:360] = samples["page"][100:210, 60:360]
    made = {
        "large": large,
        "lettered": lettered,
        "strip": photo[200:231, :700],
        "small": photo[:40, :50],
        "dot": photo[:1, :1],
    }
    index = {}
    for name, pixels in (samples | made).items():
        pixels = np.ascontiguousarray(pixels[..., :3])
        found = examine(pixels, guide="text")
        found.importance.tofile(folder / f"{name}.importance")
        Image.fromarray(pixels).save(folder / f"{name}.png")
        index[name] = {"text": found.text, "grid": found.importance.shape, "profile": found.profile}
        if max(pixels.shape) < 1024:
            # A profile that is given: what AV1 codes here has no encoder in browsers.
            data = cotam.encode(pixels, quality=50, profile=found.profile)
            index[name] |= {"bytes": len(data), "levels": cotam.level_map(data).tolist()}
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    for height, width in (32, 64), (13, 40), (9, 11), (60, 20):
        resize_bilinear(made["small"], (height, width)).tofile(folder / f"{height}x{width}.rgb")


def corpus(folder: Path, quality: str, *paths: str) -> None:
    """Write images of at most 1024 pixels a side as PNG and as files of the learned codec."""
    for number, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        image.thumbnail((1024, 1024))
        name = f"{number:03}-{Path(path).stem}"
        image.save(folder / f"{name}.png")
        profile = examine(np.asarray(image)).profile
        data = cotam.encode(image, quality=int(quality), profile=profile)
        (folder / f"{name}.python").write_bytes(data)


def check(folder: Path) -> None:
    """Print what each file is, and its PSNR against ``NAME.png`` of the same size."""
    found = {}
    for path in sorted(folder.glob("*.cotam")):
        data = path.read_bytes()
        image = cotam.decode(data)
        source = Image.open(path.with_suffix(".png")).convert("RGB").resize(image.size)
        found[path.stem] = {
            "size": image.size,
            "psnr": psnr(np.asarray(source), np.asarray(image)),
            "error": balanced_error(np.asarray(source), np.asarray(image)),
            "weights": cotam.info(data).weights,
            "levels": cotam.level_map(data).tolist(),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    jobs = {"make": make, "contents": contents, "corpus": corpus, "check": check}
    jobs[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
