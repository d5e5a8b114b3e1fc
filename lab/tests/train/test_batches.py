import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CODEC

from cotam.errors import InputError
from cotam_lab.nets.codec import Codec
from cotam_lab.nets.dct import start_from_dct
from cotam_lab.train import tiles
from cotam_lab.train.batches import TileBatches
from cotam_lab.train.loop import train
from cotam_lab.train.schedule import Schedule

SCHEDULE = Schedule(steps=4, batch=3, warmup=2, rounded_from=0.5)


def noise_tiles(count=4, side=128):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8), np.array(
        [True, False] * (count // 2)
    )


def draw(size=64, schedule=SCHEDULE, text_share=0.5):
    return TileBatches(*noise_tiles(), size, schedule, "cpu", text_share)


def test_a_step_draws_the_same_batch_whenever_it_is_asked():
    first, second = draw(), draw()
    for step in (3, 0, 3):
        one, other = first.batch(step, 0, 3), second.batch(step, 0, 3)
        for name in ("image", "quality", "levels", "text"):
            assert torch.equal(getattr(one, name), getattr(other, name))
    pictures = [first.batch(*which, 3).image for which in ((0, 0), (1, 0), (0, 1))]
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_batches_have_what_training_expects():
    many = draw().batch(0, 0, 400)
    assert many.image.shape == (400, 3, 64, 64)
    assert 0 <= many.image.min() <= many.image.max() <= 1
    assert torch.equal(many.quality, many.quality.sort().values)
    assert 0 <= many.quality.min() < 10
    assert 90 < many.quality.max() <= 100
    assert torch.equal(many.levels, many.levels.round())
    assert many.levels.abs().max() == 4
    assert 0.4 < (many.levels.flatten(1).abs().amax(1) == 0).float().mean() < 0.7
    assert 0.4 < many.text.float().mean() < 0.6


def test_text_is_neither_mirrored_nor_turned():
    source = draw(text_share=1.0)
    picture = (source.batch(0, 0, 8).image * 255).round().byte().permute(0, 2, 3, 1).numpy()
    whole = source.tiles.numpy()
    windows = np.lib.stride_tricks.sliding_window_view(whole, (64, 64), axis=(1, 2))
    for crop in picture:
        assert any(
            np.array_equal(windows[tile, top, left].transpose(1, 2, 0), crop)
            for tile in (0, 2)
            for top, left in np.argwhere((whole[tile, :65, :65] == crop[0, 0]).all(-1))
        )


def test_training_with_tiles_goes_on_where_it_stopped(tmp_path):
    def run(name, **options):
        torch.manual_seed(0)
        codec = Codec(CODEC)
        start_from_dct(codec)
        train(codec, draw(), tmp_path / name, SCHEDULE, log_every=2, **options)
        return torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)

    whole = run("whole")
    assert run("parts", minutes=0.0)["step"] == 1
    parts = run("parts")
    assert parts["step"] == whole["step"] == 4
    for kind in ("model", "average"):
        for name, value in whole[kind].items():
            assert torch.equal(value, parts[kind][name]), name
    assert (whole["model"]["synthesis.eighth.0.space_steps.steps"] > 0).all()
    rows = [json.loads(line) for line in (tmp_path / "parts/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(row["mpx"] > 0 and np.isfinite(row["loss"]) for row in rows)


def test_tiles_keep_flat_images_exactly_and_stay_within_the_limit(tmp_path):
    rng = np.random.default_rng(0)
    flat = np.full((600, 700, 3), 255, np.uint8)
    flat[100:120, 100:500] = 0
    for number in range(3):
        (tmp_path / "text").mkdir(exist_ok=True)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(flat).save(tmp_path / f"text/{number}.png")
        noise = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((640, 560), Image.Resampling.BICUBIC).save(
            tmp_path / f"photos/{number}.png"
        )
    folders = {kind: sorted((tmp_path / kind).iterdir()) for kind in ("text", "photos")}
    out = tmp_path / "new" / "tiles"
    counts = tiles.pack_tiles(folders, out, 300_000)
    assert out.stat().st_size < 310_000
    assert min(counts.values()) >= 1
    found, text = tiles.load(out)
    assert found.shape == (sum(counts.values()), 512, 512, 3)
    assert text.sum() == counts["text"]
    assert set(np.unique(found[text])) <= {0, 255}


def test_tiles_of_images_that_are_too_small_are_refused(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="no image of at least 512×512"):
        tiles.pack_tiles({"photos": [tmp_path / "small.png"]}, tmp_path / "tiles.npz", 10_000)
