"""Images and labelled texts of folders."""

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from cotam.errors import InputError
from cotam_lab.bench.images import find_images, labelled_images, redrawn, reduced


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(5):
        Image.new("RGB", (4, 3)).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    labels = [
        {"image": "images/0.png", "lines": [{"text": "TOTAL 7.00"}, {"text": "CASH"}]},
        {
            "image": "images/1.png",
            "words": [{"text": "Exit", "legible": True}, {"text": "", "legible": False}],
        },
        {"image": "images/2.png", "words": [{"text": "", "legible": False}]},
        {"image": "images/3.png", "lines": [{"text": "***"}]},
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return tmp_path


def test_images_are_sorted(pack: Path) -> None:
    assert [one.name for one in find_images(pack)] == [f"images/{n}.png" for n in range(5)]
    assert [one.name for one in find_images(pack / "images")] == [f"{n}.png" for n in range(5)]


def test_limit_takes_evenly_spaced(pack: Path) -> None:
    assert [one.path.stem for one in find_images(pack, limit=3)] == ["0", "1", "3"]
    assert len(find_images(pack, limit=99)) == 5


def test_only_legible_text_counts(pack: Path) -> None:
    found = labelled_images(pack)
    assert [one.name for one in found] == ["images/0.png", "images/1.png"]
    assert [one.texts for one in found] == [("TOTAL 7.00", "CASH"), ("Exit",)]


def test_nothing_to_measure_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        find_images(tmp_path)
    with pytest.raises(InputError, match=r"no readable labels\.jsonl"):
        labelled_images(tmp_path)


def test_images_are_redrawn_once(tmp_path: Path) -> None:
    Image.new("RGB", (3136, 200), "red").save(tmp_path / "wide.jpg")
    samples, draw = find_images(tmp_path), partial(reduced, side=1568)
    (found,) = redrawn(samples, tmp_path / "out", draw)
    assert found.name == "wide.jpg"
    with Image.open(found.path) as image:
        assert image.size == (1568, 100)
    first = found.path.stat().st_mtime_ns
    assert redrawn(samples, tmp_path / "out", draw) == [found]
    assert found.path.stat().st_mtime_ns == first
