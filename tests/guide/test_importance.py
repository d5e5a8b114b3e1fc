"""From importance to levels: both policies do what they say, and files keep their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from default_codec import CODEC
from hypothesis import given, settings
from hypothesis import strategies as st

from cotam.format.level_map import LIMIT
from cotam.guide.guidance import Guidance
from cotam.guide.importance import to_levels
from cotam.image.read import to_rgb

SAMPLE = Path(__file__).parents[2] / "samples" / "kodim23.webp"


def costs_like(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Bits that rise with the level, by a quarter octave each, as if half of the latents counted."""
    return (2.0 ** (np.arange(-7, 8) / 3)[:, None, None] * rng.uniform(1, 200, shape)).astype(np.float32)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.floats(0, 16),
    st.sampled_from(["log", "ternary"]),
    st.booleans(),
)
def test_levels_fit_the_picture_and_the_limit(
    size: tuple[int, int], grid: tuple[int, int], strength: float, policy: str, with_costs: bool
) -> None:
    rng = np.random.default_rng(size[0])
    shape = -(-size[0] // 32), -(-size[1] // 32)
    costs = costs_like(rng, shape) if with_costs else None
    levels = to_levels(
        rng.lognormal(0, 2, grid),
        size,
        costs,
        policy=policy,  # type: ignore[arg-type]
        strength=strength,
    )
    assert levels.shape == shape
    assert levels.dtype == np.int8
    assert np.abs(levels).max() <= 7


@pytest.mark.parametrize("policy", ["log", "ternary"])
def test_even_importance_and_no_strength_move_nothing(policy: str) -> None:
    rng = np.random.default_rng(0)
    costs = costs_like(rng, (8, 10))
    even, uneven = np.full((12, 17), 3.7), rng.lognormal(0, 2, (12, 17))
    assert not to_levels(even, (256, 320), costs, policy=policy).any()  # type: ignore[arg-type]
    assert not to_levels(even, (250, 301), policy=policy).any()  # type: ignore[arg-type]
    assert not to_levels(uneven, (256, 320), costs, policy=policy, strength=0).any()  # type: ignore[arg-type]


def test_log_levels_are_quarter_octaves_of_gain() -> None:
    """Four cells of importance 1, 2, 4, 8 at exponent ½: their gains are half an octave apart."""
    importance = np.kron(np.array([[1.0, 2, 4, 8]]), np.ones((1, 9)))
    levels = to_levels(importance, (32, 32 * 4 * 9), exponent=0.5)
    assert levels[0, 4::9].tolist() == [-3, -1, 1, 3]
    assert to_levels(importance, (32, 32 * 4 * 9), exponent=0.25, strength=2.0).tolist() == levels.tolist()
    assert to_levels(importance * 1e6, (32, 32 * 4 * 9), exponent=0.5).tolist() == levels.tolist()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_with_costs_the_sum_stays(seed: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    costs = costs_like(rng, (16, 24))
    importance = np.kron(rng.lognormal(0, 2, (4, 6)), np.ones((4, 4)))
    importance *= costs[LIMIT] ** rng.uniform(-1, 1)  # with, or against, what a place costs
    levels = to_levels(importance, (512, 768), costs, strength=strength)
    assert len(np.unique(levels)) > 3
    spent = np.take_along_axis(costs, levels[None].astype(int) + LIMIT, 0).sum()
    assert spent == pytest.approx(costs[LIMIT].sum(), rel=0.05)


def test_levels_still_rank_as_importance_does() -> None:
    rng = np.random.default_rng(5)
    importance = np.kron(rng.lognormal(0, 2, (4, 6)), np.ones((4, 4)))
    levels = to_levels(importance, (512, 768), costs_like(rng, (16, 24)))
    assert np.corrcoef(levels.ravel(), np.log(importance).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("quality", [5, 40])
@pytest.mark.parametrize("against", [False, True])
def test_files_keep_their_size(quality: int, against: bool) -> None:
    """Also where importance is high in flat places or in busy ones: levels of mean zero would not do."""
    pixels = to_rgb(SAMPLE)  # two parrots in the lower two thirds, a blurred background above
    importance = np.ones((16, 24))
    importance[5:, 2:20] = 1 / 16 if against else 16
    plain = len(CODEC.encode(pixels, quality).data)
    balanced = Guidance(None).allocator(importance, (pixels.shape[0], pixels.shape[1]))
    data = CODEC.encode(pixels, quality, levels=balanced)
    levels = CODEC.read_levels(data)
    assert (levels[7:, 4:18].mean() - levels[:3].mean()) * (-1 if against else 1) > 2
    assert abs(len(data.data) - plain) < 0.12 * plain
    if not against:
        mean_zero = len(CODEC.encode(pixels, quality, levels=to_levels(importance, pixels.shape[:2])).data)
        assert abs(mean_zero - plain) > 0.15 * plain


def test_ternary_is_the_rule_of_the_paper() -> None:
    """Fields 0.75 standard deviations above the mean of 8×8 are raised, those as far below it lowered."""
    importance = np.random.default_rng(3).uniform(0.5, 1.5, (8, 8))
    levels = to_levels(importance, (512, 512), policy="ternary")
    low = importance.mean() - 0.75 * importance.std()
    high = importance.mean() + 0.75 * importance.std()
    expected = 2 * (importance > high).astype(int) - 2 * (importance < low)
    assert np.array_equal(levels, np.kron(expected, np.ones((2, 2), int)))
    assert set(np.unique(to_levels(importance, (512, 512), policy="ternary", strength=2.5))) == {-5, 0, 5}


def test_ternary_fields_cover_any_picture() -> None:
    importance = np.kron(np.array([[1.0, 9.0]]), np.ones((8, 4)))
    levels = to_levels(importance, (70, 500), policy="ternary")
    assert levels.shape == (3, 16)
    assert (levels[:, :8] == -2).all()
    assert (levels[:, 8:] == 2).all()
