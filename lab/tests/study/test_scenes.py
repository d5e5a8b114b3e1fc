"""Scenes have the answers that their labels say, and are the same for the same seed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cotam.errors import InputError
from cotam_lab.metrics.text import TEXT
from cotam_lab.study import scenes


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    y, x = np.mgrid[:300, :500]
    smooth = np.stack([x / 3, y / 2, (x + y) / 5], axis=-1).astype(np.uint8)
    busy = np.random.default_rng(0).integers(0, 256, (600, 400, 3), np.uint8)
    for name, pixels in (("smooth", smooth), ("busy", busy)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return [tmp_path / "smooth.png", tmp_path / "busy.png"]


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    pack = tmp_path / "objects"
    (pack / "images").mkdir(parents=True)
    pixels = np.full((200, 300, 3), 128, np.uint8)
    pixels[40:120, 30:110] = (250, 0, 0)
    pixels[40:120, 160:240] = (0, 0, 250)
    Image.fromarray(pixels).save(pack / "images" / "two.png")
    things = [
        {"class": "red", "box": [30, 40, 110, 120]},
        {"class": "blue", "box": [160, 40, 240, 120]},
        {"class": "cut off", "box": [0, 40, 110, 120]},
        {"class": "small", "box": [30, 40, 60, 70]},
    ]
    label = {"image": "images/two.png", "width": 300, "height": 200, "objects": things}
    (pack / "labels.jsonl").write_text(json.dumps(label) + "\n")
    return pack


def labels(pack: Path) -> dict[str, list[str]]:
    lines = (pack / "labels.jsonl").read_text().splitlines()
    return {one["image"]: [line["text"] for line in one["lines"]] for one in map(json.loads, lines)}


def test_photos_are_cut_to_one_size(photos: list[Path], tmp_path: Path) -> None:
    scenes.photo_pack(photos, tmp_path / "pack")
    for name in ("smooth", "busy"):
        with Image.open(tmp_path / "pack" / "images" / f"{name}.png") as image:
            assert image.size == scenes.SIZE


def test_text_is_there_and_stands_out(photos: list[Path], tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    scenes.text_pack(photos, pack, (12, 40))
    scenes.photo_pack(photos, tmp_path / "plain")
    found = labels(pack)
    assert list(found) == [f"images/{name}_{size}.png" for name in ("smooth", "busy") for size in (12, 40)]
    changed = []
    for image, lines in found.items():
        assert len(lines) == scenes.LINES
        assert all(line.split()[1].isdecimal() for line in lines)
        written = np.array(Image.open(pack / image)).astype(int)
        plain = np.array(Image.open(tmp_path / "plain" / "images" / f"{Path(image).stem[:-3]}.png"))
        changed.append(int((np.abs(written - plain).max(axis=2) > 60).sum()))
    assert changed[1] > 3 * changed[0] > 300  # larger letters cover more
    assert changed[2] > 3 * changed[0]  # on a busy image they have a background


def test_text_can_be_read(photos: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    pack = tmp_path / "pack"
    scenes.text_pack(photos[:1], pack, (13,))
    for image, lines in labels(pack).items():
        pixels = np.array(Image.open(pack / image))
        assert TEXT.score(pixels, pixels, lines)["recall"] >= 7 / 8


def test_as_many_things_as_the_label_says(photos: list[Path], objects: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    scenes.count_pack(objects, photos[:1], pack, scenes=6)
    counts = []
    for image, (number, box) in labels(pack).items():
        pixels = np.array(Image.open(pack / image)).astype(int)
        colour = (250, 0, 0) if image.endswith("red.png") else (0, 0, 250)
        covered = np.abs(pixels - colour).max(axis=2) < 20
        left, top, right, bottom = map(int, box.split(","))
        assert covered[top + 1 : bottom - 1, left + 1 : right - 1].all()
        area = (right - left) * (bottom - top)
        assert 0.7 * int(number) < covered.sum() / area < 1.4 * int(number)
        counts.append(int(number))
    assert counts == list(scenes.COUNTS)


def test_a_seed_makes_the_same_scenes(photos: list[Path], objects: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        scenes.count_pack(objects, photos, tmp_path / name, scenes=2, seed=seed)
        scenes.text_pack(photos, tmp_path / name / "text", (20,), seed=seed)
    files = [
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in "abc"
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_pack_without_large_objects_is_refused(photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no readable labels\.jsonl"):
        scenes.count_pack(tmp_path, photos, tmp_path / "pack")
    (tmp_path / "labels.jsonl").write_text('{"image": "smooth.png", "width": 500, "height": 300}\n')
    with pytest.raises(InputError, match="2 are needed"):
        scenes.count_pack(tmp_path, photos, tmp_path / "pack")
