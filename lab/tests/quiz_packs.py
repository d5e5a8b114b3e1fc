"""Labelled packs of a few small pictures, laid out as the data that the reference model is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image
from synthetic import picture

CLASSES = [("dog", 152), ("bird", 8), ("thing", 901)]


def write_packs(data: Path) -> None:
    """20 photos of three kinds, 10 with captions, and a picture or two of kodak, objects and ocr."""
    names = [f"{CLASSES[n % 3][0]} {CLASSES[n % 3][1] + n // 3}" for n in range(20)]
    _pack(
        data / "train/photos", [{"class_name": name, "class_index": int(name.split()[1])} for name in names]
    )
    _pack(
        data / "train/captions", [{"captions": [f"A house number {n} by the lake."]} for n in range(10)], 50
    )
    _pack(data / "kodak", [{}], 70, size=(392, 518))
    boxes = [("dog", [10, 10, 90, 90]), ("cat", [300, 20, 380, 100]), ("cup", [100, 120, 180, 190])]
    objects = [{"class": name, "box": box} for name, box in boxes]
    objects += [{"class": "cup", "box": [200, 120, 280, 190]}]
    label = {"objects": objects, "counts": {"dog": 1, "cat": 1, "cup": 2}}
    other = {"objects": [], "counts": {"bus": 1, "tram": 1, "ship": 1}}
    _pack(data / "objects", [label, other], 80, size=(200, 400))
    words = [("letters", 40, 24), ("seldom", 200, 16), ("it", 10, 40)]
    _pack(
        data / "ocr",
        [
            {"words": [_word(*word) for word in words]},
            {"words": [_word(text, 9, 20) for text in ("other", "further", "again")]},
        ],
        90,
    )


def _word(text: str, left: int, high: int) -> dict[str, Any]:
    polygon = [[left, 20], [left + 100, 20], [left + 100, 20 + high], [left, 20 + high]]
    return {"text": text, "legible": True, "polygon": polygon}


def _pack(
    folder: Path, labels: list[dict[str, Any]], seed: int = 0, size: tuple[int, int] = (260, 320)
) -> None:
    (folder / "images").mkdir(parents=True)
    lines = []
    for number, label in enumerate(labels):
        name = f"images/{number:03d}.png"
        Image.fromarray(picture(*size, seed + number)).save(folder / name)
        lines.append(json.dumps({"image": name, "width": size[1], "height": size[0]} | label) + "\n")
    (folder / "labels.jsonl").write_text("".join(lines))
