"""Baselines: bytes are real files, pictures come back, rates rise with quality, what is missing is said."""

import numpy as np
import pytest

from cotam.errors import InputError
from cotam_lab.bench import baselines
from cotam_lab.bench.specs import ladder

PILLOW = ("jpeg", "webp", "avif", "avif-psnr", "jpeg-tailored", "webp-tailored", "avif-tailored")
SIGNATURES = {"jpeg": b"\xff\xd8\xff", "webp": b"RIFF", "avif": b"\0\0\0"}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth picture with some texture, 70 × 100."""
    y, x = np.mgrid[:70, :100]
    waves = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 13)
    noise = np.random.default_rng(1).normal(0, 8, (70, 100, 1)) * (1, 1, 1)
    return (waves[..., None] + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PILLOW)
def test_round_trip_and_rising_rate(name: str, picture: np.ndarray) -> None:
    codec = baselines.codec(name)
    sizes, errors = [], []
    for quality in codec.qualities[::4]:
        data = codec.encode(picture, quality)
        decoded = codec.decode(data)
        assert data.startswith(SIGNATURES[name.partition("-")[0]])
        assert decoded.shape == picture.shape
        assert decoded.dtype == np.uint8
        sizes.append(len(data))
        errors.append(np.square(decoded.astype(float) - picture).mean())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 60


@pytest.mark.parametrize("name", PILLOW)
def test_ladders_rise(name: str) -> None:
    codec = baselines.codec(name)
    assert list(codec.qualities) == sorted(set(codec.qualities))
    assert codec.name == name
    assert codec.version


def test_jpeg_is_progressive_and_has_half_chroma(picture: np.ndarray) -> None:
    data = baselines.codec("jpeg").encode(picture, 50)
    assert b"\xff\xc2" in data  # the frame header of progressive coding
    assert data[data.index(b"\xff\xc2") + 11] == 0x22  # luma sampled twice in both directions


def test_tune_tells_the_two_avif_apart(picture: np.ndarray) -> None:
    assert baselines.codec("avif").encode(picture, 40) != baselines.codec("avif-psnr").encode(picture, 40)
    assert baselines.codec("avif").version != baselines.codec("avif-psnr").version


def test_ladder_of_a_spec() -> None:
    assert ladder("jpeg") == ("jpeg", ())
    assert ladder("cotam:view=human,guide=none@40,5,5") == ("cotam:view=human,guide=none", (5, 40))
    assert ladder("jpeg:q=20") == ("jpeg", (20,))
    assert ladder("cotam:view=human,q=7,guide=none") == ("cotam:view=human,guide=none", (7,))
    for wrong in ("jpeg@", "jpeg@high", "jpeg@101", "jpeg@5,"):
        with pytest.raises(InputError, match=r"whole numbers from 0 to 100, such as jpeg@"):
            ladder(wrong)


def test_options_of_avif_are_those_of_pillow_and_of_libaom(picture: np.ndarray) -> None:
    plain, fast = baselines.codec("avif"), baselines.codec("avif:speed=9")
    assert fast.name == "avif:speed=9"
    assert fast.version == f"{plain.version}; speed=9"
    assert fast.encode(picture, 40) != plain.encode(picture, 40)
    tuned = baselines.codec("avif:tune=psnr")
    assert tuned.encode(picture, 40) == baselines.codec("avif-psnr").encode(picture, 40)
    for wrong in ("subsampling=7", "speed=slow", "tune=loud"):
        with pytest.raises(InputError, match=f"^avif:{wrong}: "):
            baselines.codec(f"avif:{wrong}")


def test_other_codecs_have_no_options() -> None:
    with pytest.raises(InputError, match="only cotam and avif take options"):
        baselines.codec("jpeg:subsampling=0")


def test_unknown_codec_names_the_others() -> None:
    with pytest.raises(InputError, match="'gif': choose from jpeg, webp, avif"):
        baselines.codec("gif")
