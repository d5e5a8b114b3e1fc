"""What "auto" means, for stills and sequences alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import page, picture, screen

from cotam.errors import InputError
from cotam.guide.base import load
from cotam.options import Options, guide_digest, weights_digests

PHOTO, PAGE = picture(200, 300, seed=6), page(200, 300)


class Tiles:
    """An even guide that remembers the sizes that it is shown."""

    side = 64

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        self.seen.append(pixels.shape[:2])
        return np.ones((4, 4), np.float32)


def test_auto_for_a_photograph() -> None:
    plan = Options().resolve(PHOTO)
    assert (plan.weights, plan.quality, plan.target_size) == ("mllm", 50, None)
    assert plan.guidance is not None
    assert plan.guidance.guide is load("text")
    assert plan.importance is not None  # found with the content, not asked for again
    assert np.array_equal(plan.importance, plan.guidance.importance(PHOTO))


@pytest.mark.parametrize(
    ("options", "weights", "guided"),
    [
        ({"profile": "mllm"}, "mllm", True),
        ({"profile": "page"}, "page", False),
        ({"profile": "base"}, "base", False),
        ({"profile": "mllm", "guide": "none"}, "mllm", False),
        ({"profile": "page", "guide": "lite"}, "page", True),
        ({"profile": "mllm", "levels": np.ones((7, 10), np.int8)}, "mllm", False),
    ],
)
def test_auto_with_other_options(options: dict[str, Any], weights: str, guided: bool) -> None:
    plan = Options(**options).resolve(PHOTO)
    assert plan.weights == weights
    assert (plan.guidance is not None) == guided
    assert (plan.levels_for(PHOTO) is not None) == (guided or "levels" in options)


def test_flat_graphics() -> None:
    dither = (np.indices((60, 80)).sum(axis=0) % 2 * 255).astype(np.uint8)
    drawings = screen(300, 400), np.repeat(dither[..., None], 3, axis=2), np.zeros((1, 1, 3), np.uint8)
    assert all(Options().resolve(pixels).payload == "flat" for pixels in drawings)
    assert Options().resolve(PHOTO).payload == "learned"


def test_a_sequence_of_soft_frames_is_none_of_pages() -> None:
    soft = np.repeat(np.repeat(PHOTO[::4, ::4], 4, axis=0), 4, axis=1)  # like skipped blocks of a video
    assert Options().resolve(soft).payload == "flat"
    plan = Options().resolve(soft, sequence=True)
    assert (plan.weights, plan.payload, plan.guidance is not None) == ("mllm", "learned", True)


def test_a_guide_of_the_caller_stays_for_a_page() -> None:
    guide = Tiles()
    plan = Options(guide=guide).resolve(PAGE)
    assert plan.weights == "page"
    assert plan.guidance is not None
    assert plan.guidance.guide is guide


def test_effort_fast_asks_a_guide_once() -> None:
    for effort, most in (("fast", 1), ("default", 100)):
        guide = Tiles()
        plan = Options(guide=guide, profile="mllm", effort=effort).resolve(PHOTO)  # type: ignore[arg-type]
        plan.levels_for(PHOTO)
        assert 1 <= len(guide.seen) <= most
    assert len(guide.seen) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "slow"}, "unknown effort 'slow': choose from fast, default, best"),
        ({"metadata": "iptc"}, "unknown metadata 'iptc': choose from exif, icc, xmp"),
        ({"levels": np.zeros((1, 1), int), "guide": "lite"}, "exclude each other"),
        ({"guide_strength": float("nan")}, "guide_strength must be a number from 0 to 16, got nan"),
        ({"quality": True}, "quality must be a whole number from 0 to 100, got True"),
    ],
)
def test_options_are_checked_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Options(**options)


def test_what_files_depend_on() -> None:
    assert len(weights_digests("auto").split()) == 2
    assert weights_digests("auto").startswith(weights_digests("mllm"))
    lite = guide_digest("lite", "page")
    assert (
        lite == guide_digest("auto", "auto") == guide_digest("none", "auto") == guide_digest("auto", "mllm")
    )
    assert guide_digest("auto", "page") is guide_digest("none", "mllm") is None
