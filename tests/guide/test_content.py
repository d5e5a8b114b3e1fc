"""What is a page, and what is none, whatever its size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from synthetic import page, picture, screen

from cotam.guide import multiscale
from cotam.guide.base import load
from cotam.guide.content import MIN_FLATNESS, MIN_PAGE_TEXT, examine, flatness
from cotam.image.read import to_rgb

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize(
    ("size", "letters"), [((64, 64), 20), ((240, 320), 14), ((1754, 1240), 22), ((1080, 1920), 16)]
)
def test_text_of_any_size_is_a_page(size: tuple[int, int], letters: int) -> None:
    found = examine(page(*size, letters))
    assert found.text > 0.7
    assert found.profile == "page"


@pytest.mark.parametrize("name", ["kodim03", "kodim15", "kodim23"])
def test_photographs_are_none(name: str) -> None:
    found = examine(to_rgb((SAMPLES / f"{name}.webp").read_bytes()))
    assert found.text < MIN_PAGE_TEXT / 4
    assert found.profile == "mllm"


@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_colour_is_none(value: int) -> None:
    assert examine(np.full((70, 90, 3), value, np.uint8)).text < 0.1


def test_a_line_of_text_on_a_photograph_is_none() -> None:
    pixels = picture(480, 640, seed=3)
    pixels[200:232, 40:300] = page(32, 260)
    assert examine(page(480, 640)).text > 2 * MIN_PAGE_TEXT > MIN_PAGE_TEXT > examine(pixels).text > 0.01


@pytest.mark.parametrize("size", [(200, 300), (900, 1400)])  # one view, and a whole with tiles
@pytest.mark.parametrize("name", ["lite", "text"])
def test_importance_is_that_of_the_guide(size: tuple[int, int], name: Literal["lite", "text"]) -> None:
    pixels = picture(*size)
    content, guide = examine(pixels, guide=name), load(name)
    assert guide is not None
    assert np.array_equal(content.importance, multiscale.importance(guide, pixels))


@pytest.mark.parametrize("size", [(200, 300), (900, 1400)])
def test_the_guide_text_leaves_images_without_text_even(size: tuple[int, int]) -> None:
    pixels = picture(*size)
    assert np.ptp(examine(pixels, guide="text").importance) == 0
    assert np.ptp(examine(pixels, guide="lite").importance) > 0


def test_the_guide_text_raises_text() -> None:
    pixels = picture(480, 640, seed=3)
    pixels[100:300, 40:400] = page(200, 360)
    importance = examine(pixels, guide="text").importance
    assert importance[8:17, 4:23].mean() > 4 * importance[20:].mean()


def test_flatness() -> None:
    assert flatness(np.zeros((20, 30, 3), np.uint8)) == 1
    assert flatness(np.zeros((20, 1, 3), np.uint8)) == 0
    pixels = np.array([[[1, 2, 3], [1, 2, 3], [1, 2, 4]], [[5, 6, 7], [5, 6, 7], [5, 6, 7]]], np.uint8)
    assert flatness(pixels) == flatness(pixels[:, ::-1]) == 0.75
    assert flatness(screen(300, 400)) > MIN_FLATNESS > 0.2 > flatness(picture(300, 400))
