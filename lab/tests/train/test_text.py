"""The text-rich training pictures: the same from the same seed, the right shape, drawn without warnings."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cotam_lab.train import text, text_words

SMALL = (160, 128)


@pytest.fixture
def bundled_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hide the system's fonts; what was found before is forgotten on the way in and out."""
    caches = (text_words.faces, text_words._families, text_words.styled)
    monkeypatch.setattr(text_words, "SYSTEM_FONTS", tmp_path)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_same_seed_gives_same_picture() -> None:
    for seed in range(6):
        assert np.array_equal(text.render(seed, SMALL), text.render(seed, SMALL))


def test_pictures_differ_by_seed() -> None:
    pictures = {text.render(seed, SMALL).tobytes() for seed in range(30)}
    assert len(pictures) == 30


def test_pictures_of_two_runs_in_one_folder_are_named_by_seed(tmp_path: Path) -> None:
    for seed in (3, 9100):
        arguments = [str(tmp_path), "--count", "2", "--seed", str(seed), "--size", "96", "--jobs", "1"]
        CliRunner().invoke(text.main, arguments, catch_exceptions=False)
    names = ["text-000003.png", "text-000004.png", "text-009100.png", "text-009101.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with Image.open(tmp_path / names[3]) as image:
        assert np.array_equal(image, text.render(9101, (96, 96)))


def test_shape_is_height_width_colours() -> None:
    for seed in range(4):
        picture = text.render(seed, (200, 97))
        assert picture.shape == (97, 200, 3)
        assert picture.dtype == np.uint8


@pytest.mark.parametrize("kind", text.SCENES)
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_every_scene_draws_something(kind: str, scale: float) -> None:
    scene = text.SCENES[kind][0]
    for seed in range(3):
        image = scene(np.random.default_rng(seed), SMALL, scale)
        assert image.mode == "RGB"
        assert image.size == (round(SMALL[0] * scale), round(SMALL[1] * scale))
        assert np.ptp(np.asarray(image)) > 30


def test_scenes_show_the_given_photos_but_not_every_tenth(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (200, 150), (0, 255, 0)).save(photos / "0.png")
    Image.new("RGB", (200, 150), (255, 0, 0)).save(photos / "1.png")
    arguments = ["--count", "40", "--size", "96", "--jobs", "1", "--photos", str(photos)]
    CliRunner().invoke(text.main, [str(tmp_path / "out"), *arguments], catch_exceptions=False)
    red = green = 0
    for path in sorted((tmp_path / "out").iterdir()):
        pixels = np.asarray(Image.open(path)).astype(int)
        red += (pixels == (255, 0, 0)).all(2).mean() > 0.1
        green += (pixels == (0, 255, 0)).all(2).mean() > 0.1
    assert (red >= 1, green) == (True, 0)


def test_degrade_keeps_the_size() -> None:
    clean = Image.new("RGB", SMALL, (200, 210, 220))
    for seed in range(20):
        spoiled = text.degrade(np.random.default_rng(seed), clean)
        assert (spoiled.size, spoiled.mode) == (SMALL, "RGB")


@pytest.mark.usefixtures("bundled_fonts")
def test_works_with_the_fonts_of_matplotlib_alone() -> None:
    assert {face.family.split()[0] for face in text_words.faces()} == {"DejaVu"}
    for kind, (scene, _, _) in text.SCENES.items():
        assert scene(np.random.default_rng(1), SMALL, 1.0).size == SMALL, kind


def test_faces_write_only_scripts_they_hold() -> None:
    for face in text_words.faces():
        held = text_words.FT2Font(face.path).get_charmap()
        for script in face.scripts:
            assert all(ord(letter) in held for letter in "".join(text_words.VOCABULARY[script]))
