import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cotam.errors import InputError
from cotam_lab.train.__main__ import main
from cotam_lab.train.data import Crops, image_files, pack, random_levels, read_reduced


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (80 + number, 100, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_every_tenth_picture_by_name_is_held_out(folder):
    names = [p.name for p in image_files(folder, hold_out_tenth=True)]
    assert names == [f"{n:02}.png" for n in range(12) if n not in (0, 10)]
    assert len(image_files(folder, hold_out_tenth=False)) == 12


def test_a_folder_without_pictures_says_so(tmp_path):
    with pytest.raises(InputError, match="no images below"):
        image_files(tmp_path, hold_out_tenth=False)


def test_images_are_read_as_for_encoding_and_reduced(tmp_path):
    Image.new("RGBA", (4000, 1000), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    pixels = read_reduced(tmp_path / "clear.png")
    assert pixels.shape == (500, 2000, 3)
    assert (pixels == 255).all()
    Image.fromarray(np.full((20, 30), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert (read_reduced(tmp_path / "deep.png") == 128).all()


def test_pack_keeps_the_pixels_and_leaves_small_pictures_out(folder, tmp_path):
    Image.new("RGB", (20, 200)).save(folder / "thin.png")
    out = tmp_path / "pack"
    assert pack({"photos": image_files(folder, hold_out_tenth=False)}, out, smallest=64) == {"photos": 12}
    kind, offset, height, width = json.loads((out / "index.json").read_text())[3]
    stored = np.fromfile(out / "pixels.u8", np.uint8)[offset : offset + height * width * 3]
    assert kind == "photos"
    assert np.array_equal(stored.reshape(height, width, 3), read_reduced(folder / "03.png"))


def test_folders_of_one_kind_are_joined_and_a_tenth_of_each_is_held_out(tmp_path):
    for folder, count in (("b", 3), ("a", 2)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            Image.new("RGB", (130, 128 + 10 * count + number)).save(tmp_path / folder / f"{number}.png")
    folders = [f"text={tmp_path / name}" for name in "ba"]
    result = CliRunner().invoke(main, ["pack", *folders, "-o", str(tmp_path / "pack"), "--hold-out", "text"])
    assert "text: 3 images\n" in result.output
    rows = json.loads((tmp_path / "pack/index.json").read_text())
    assert [(kind, height) for kind, _, height, _ in rows] == [("text", 159), ("text", 160), ("text", 149)]


def test_a_step_has_the_same_crops_whenever_it_is_asked_for(folder, tmp_path):
    pack({"photos": image_files(folder, hold_out_tenth=False)}, tmp_path / "pack", smallest=64)
    crops = Crops(tmp_path / "pack", size=64)
    first, _ = crops.batch(7, 3)
    assert first.shape == (3, 64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, Crops(tmp_path / "pack", size=64).batch(7, 3)[0])
    assert not np.array_equal(first, crops.batch(8, 3)[0])
    assert not np.array_equal(first, crops.batch(7, 3, rank=1)[0])
    streamed = list(crops.stream(6, 9, 3))
    assert len(streamed) == 3
    assert np.array_equal(streamed[1][0], first)


def test_text_is_not_mirrored_and_photographs_are(tmp_path):
    ramp = np.broadcast_to(np.arange(0, 240, 3, dtype=np.uint8)[None, :, None], (80, 80, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    for kind in ("text", "photos"):
        pack({kind: [tmp_path / "ramp.png"]}, tmp_path / kind, smallest=64)
        crops, _ = Crops(tmp_path / kind, size=64).batch(0, 24)
        rising = [bool(crop[32, 60, 0] > crop[32, 3, 0]) for crop in crops]
        assert all(rising) == (kind == "text")


def test_pictures_too_small_for_the_crops_are_named(tmp_path):
    for name, side in (("a", 80), ("b", 80), ("c", 128)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in "abc"]
    pack({"photos": files, "text": files[2:]}, tmp_path / "pack", smallest=64)
    assert Crops(tmp_path / "pack", size=64).left_out() == ""
    assert Crops(tmp_path / "pack", size=128).left_out() == "left out, smaller than 128×128: 2 of 3 photos"


def test_no_batch_beyond_the_last_step_is_prepared(folder, tmp_path, monkeypatch):
    pack({"photos": image_files(folder, hold_out_tenth=False)}, tmp_path / "pack", smallest=64)
    prepared = []
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr(Crops, "batch", lambda _self, step, *_: prepared.append(step))
    crops = Crops(tmp_path / "pack", size=64)
    assert len(list(crops.stream(2, 5, 1))) == 3
    assert len(list(crops.stream(0, 12, 1))) == 12
    assert sorted(prepared) == sorted([2, 3, 4, *range(12)])


def test_the_mixture_gives_text_its_share(folder, tmp_path):
    files = image_files(folder, hold_out_tenth=False)
    pack({"photos": files[:6], "text": files[6:8]}, tmp_path / "pack", smallest=64)
    crops = Crops(tmp_path / "pack", size=64, text_share=0.4)
    assert dict(zip(crops.names, crops.weights, strict=True)) == {"text": 0.4, "photos": 0.6}
    _, text = crops.batch(0, 200)
    assert 0.3 < text.mean() < 0.5


def test_too_large_crops_are_refused(folder, tmp_path):
    pack({"photos": image_files(folder, hold_out_tenth=False)}, tmp_path / "pack", smallest=64)
    with pytest.raises(InputError, match="no image of at least 128×128"):
        Crops(tmp_path / "pack", size=128)


def test_random_levels_are_small_integers_and_often_zero():
    maps = random_levels(np.random.default_rng(0), 400, 4, 4)
    assert maps.shape == (400, 1, 4, 4)
    assert maps.dtype == np.float32
    assert np.array_equal(maps, np.rint(maps))
    assert np.abs(maps).max() == 4
    flat = np.mean([not m.any() for m in maps])
    assert 0.4 < flat < 0.75
    assert any(len(np.unique(m)) > 3 for m in maps)
