"""Bjøntegaard deltas agree with the package of that name, and refuse what cannot be compared."""

from typing import Any

import numpy as np
import pytest

from cotam.errors import InputError
from cotam_lab.bench.curves import Curve, Delta, bd_quality, bd_rate, bootstrap, compare, monotone, points

# Four points of two codecs, as measured: WebP and JPEG on Kodak.
WEBP = Curve(np.array([0.1742, 0.3065, 0.5958, 0.9273]), np.array([27.37, 29.37, 32.36, 34.80]))
JPEG = Curve(np.array([0.2461, 0.5260, 0.8897, 1.4631]), np.array([26.25, 29.77, 32.32, 35.17]))


def rows_of(codec: str, factor: float, images: int = 6, noise: float = 0.0) -> list[dict[str, Any]]:
    """Rows of a codec whose score is a line over log rate, at ``factor`` times the rate of the line."""
    random = np.random.default_rng(3)
    return [
        {
            "codec": codec,
            "version": "1",
            "quality": quality,
            "image": f"{image}.png",
            "bpp": factor * rate * (1 + image / 4),
            "psnr": 30 + 5 * np.log2(rate) + random.normal(0, noise),
        }
        for image in range(images)
        for quality, rate in ((10, 0.25), (40, 0.5), (60, 0.8), (90, 1.5))
    ]


def test_same_numbers_as_the_package() -> None:
    package = pytest.importorskip("bjontegaard")
    for left, right in ((JPEG, WEBP), (WEBP, JPEG)):
        arrays = (left.rate, left.score, right.rate, right.score)
        rate = package.bd_rate(*arrays, method="pchip", min_overlap=0)
        quality = package.bd_psnr(*arrays, method="pchip", min_overlap=0)
        assert bd_rate(left, right).value == pytest.approx(rate, abs=1e-9)
        assert bd_quality(left, right).value == pytest.approx(quality, abs=1e-9)


def test_half_the_rate_is_minus_fifty() -> None:
    half = Curve(JPEG.rate / 2, JPEG.score)
    assert bd_rate(JPEG, half) == Delta(pytest.approx(-50), 1.0)
    assert bd_rate(half, JPEG).value == pytest.approx(100)
    assert bd_quality(JPEG, Curve(JPEG.rate, JPEG.score + 2)) == Delta(pytest.approx(2), 1.0)


def test_points_come_in_any_order() -> None:
    order = np.array([2, 0, 3, 1])
    assert bd_rate(JPEG, Curve(WEBP.rate[order], WEBP.score[order])) == bd_rate(JPEG, WEBP)


def test_no_number_without_a_reason() -> None:
    falling = Curve(np.array([0.1, 0.2, 0.3]), np.array([26.0, 25.0, 30.0]))
    delta = bd_rate(JPEG, falling)
    assert delta.value is None
    assert delta.reason == "the tested curve is not monotone: no better score after 0.100 bpp"
    assert "reference curve is not monotone" in str(bd_rate(falling, JPEG).reason)
    apart = Curve(JPEG.rate, JPEG.score + 40)
    assert bd_rate(JPEG, apart) == Delta(None, reason="the curves do not overlap in their scores")
    assert (
        bd_quality(JPEG, Curve(JPEG.rate * 100, JPEG.score)).reason
        == "the curves do not overlap in their rates"
    )
    single = Curve(np.array([0.1]), np.array([30.0]))
    assert "fewer than two points" in str(bd_rate(JPEG, single).reason)
    assert "two points of different rates" in str(bd_quality(single, JPEG).reason)


def test_quality_delta_needs_no_monotone_scores() -> None:
    wavy = Curve(JPEG.rate, np.array([30.0, 29.0, 33.0, 32.0]))
    assert bd_quality(JPEG, wavy).value is not None


def test_curves_are_finite() -> None:
    for rate, score in (([0.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, np.nan]), ([1.0], [1.0, 2.0])):
        with pytest.raises(InputError):
            Curve(np.array(rate), np.array(score))


def test_monotone_pools_what_falls() -> None:
    noisy = Curve(np.array([0.1, 0.2, 0.4, 0.8]), np.array([0.5, 0.9, 0.8, 0.95]))
    pooled = monotone(noisy)
    assert pooled.rate == pytest.approx([0.1, np.sqrt(0.08), 0.8])
    assert pooled.score == pytest.approx([0.5, 0.85, 0.95])
    assert np.array_equal(monotone(JPEG).score, JPEG.score)
    assert monotone(JPEG).rate == pytest.approx(JPEG.rate)


def test_points_leave_out_incomplete_images() -> None:
    rows = rows_of("a", 1)
    rows[5] = {key: rows[5][key] for key in ("codec", "version", "quality", "image")} | {"error": "failed"}
    rows[9]["psnr"] = None
    found = points(rows, "a", "psnr")
    assert found.images == ("0.png", "3.png", "4.png", "5.png")
    assert found.qualities == (10, 40, 60, 90)
    assert found.curve().rate[0] == pytest.approx(0.25 * (1 + 3 / 4))
    with pytest.raises(InputError, match="no image has the psnr of b"):
        points(rows, "b", "psnr")


def test_bootstrap_is_seeded_and_contains_the_truth() -> None:
    reference = points(rows_of("a", 1, noise=0.2), "a", "psnr")
    test = points(rows_of("b", 0.7), "b", "psnr")
    first = bootstrap(reference, test, bd_rate, resamples=60)
    assert first == bootstrap(reference, test, bd_rate, resamples=60)
    assert first != bootstrap(reference, test, bd_rate, resamples=60, seed=1)
    assert first is not None
    assert first.low < -30 < first.high
    assert first.without == 0
    assert bootstrap(reference.on(["0.png"]), test.on(["0.png"]), bd_rate) is None
    with pytest.raises(InputError, match="same images"):
        bootstrap(reference, test.on(["0.png"]), bd_rate)


def test_bootstrap_without_deltas_has_no_interval() -> None:
    both = points(rows_of("a", 1), "a", "psnr")
    assert bootstrap(both, both, lambda left, right: Delta(None, reason="never"), resamples=20) is None


def test_comparison_takes_shared_images() -> None:
    rows = rows_of("a", 1, images=4) + rows_of("b", 0.6, images=4)[4:]
    found = compare(rows, "a", "b", "psnr")
    assert (found.reference, found.codec, found.images) == ("a", "b", 3)
    assert found.rate.value == pytest.approx(-40)
    assert found.quality.value == pytest.approx(5 * np.log2(1 / 0.6), abs=0.2)
    assert found.rate_interval is not None
    assert found.rate_interval.low == pytest.approx(-40)


def test_noisy_comparison_bridges_a_fall() -> None:
    rows = rows_of("a", 1, images=3) + rows_of("b", 1, images=3)
    for row in rows:
        if row["codec"] == "b" and row["quality"] == 60:
            row["psnr"] -= 6
    assert compare(rows, "a", "b", "psnr").rate.value is None
    noisy = compare(rows, "a", "b", "psnr", noisy=True).rate.value
    assert noisy is not None
    assert noisy > 5
