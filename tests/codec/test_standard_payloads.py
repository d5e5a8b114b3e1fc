"""The payloads that Pillow codes and decodes: AV1 and lossless."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from mutations import BLIND
from PIL import features
from synthetic import screen

from cotam.codec.av1 import can_encode_av1, decode_av1, encode_av1
from cotam.codec.lossless import can_encode_lossless, decode_lossless, encode_lossless
from cotam.errors import CotamError, FormatError, MissingCodecError

av1 = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")

MUTATIONS_A_KIND = 350


@av1
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (90, 131)])
def test_av1_round_trip(height: int, width: int) -> None:
    pixels = screen(height, width)
    sharp, coarse = (encode_av1(pixels, quality, speed=9) for quality in (95, 10))
    errors = [np.abs(decode_av1(data, width, height) - pixels.astype(int)).mean() for data in (sharp, coarse)]
    assert errors[0] < 5
    assert len(coarse) <= len(sharp)
    assert errors[0] <= errors[1]


@av1
def test_av1_of_grey_pixels_stays_grey() -> None:
    grey = np.repeat(screen(64, 64)[..., :1], 3, axis=2)
    decoded = decode_av1(encode_av1(grey, 30, speed=9), 64, 64)
    assert np.array_equal(decoded[..., 0], decoded[..., 1])
    assert np.array_equal(decoded[..., 0], decoded[..., 2])


@av1
def test_av1_bytes_do_not_depend_on_the_run() -> None:
    pixels = screen(300, 400)
    assert encode_av1(pixels, 30, speed=9) == encode_av1(pixels, 30, speed=9)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (64, 64), (90, 131)])
def test_lossless_round_trip(height: int, width: int) -> None:
    pixels = screen(height, width)
    assert np.array_equal(decode_lossless(encode_lossless(pixels), width, height), pixels)


def test_lossless_keeps_noise_and_one_colour() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    flat = np.full((1000, 900, 3), 7, np.uint8)
    assert np.array_equal(decode_lossless(encode_lossless(noise), 47, 33), noise)
    data = encode_lossless(flat)
    assert len(data) < 100
    assert np.array_equal(decode_lossless(data, 900, 1000), flat)


def test_sides_beyond_the_standards_are_not_encoded() -> None:
    assert not can_encode_av1(1, (1 << 15) + 1)
    assert not can_encode_lossless(1, (1 << 14) + 1)
    with pytest.raises(MissingCodecError):
        encode_lossless(np.zeros(((1 << 14) + 1, 1, 3), np.uint8))


def test_pillow_without_the_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = screen(16, 16)
    lossless = encode_lossless(pixels)
    payload = encode_av1(pixels, 50) if features.check("avif") else None
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert not can_encode_av1(16, 16)
    assert not can_encode_lossless(16, 16)
    with pytest.raises(MissingCodecError, match="cannot decode WebP"):
        decode_lossless(lossless, 16, 16)
    if payload:
        with pytest.raises(MissingCodecError, match="cannot decode AVIF"):
            decode_av1(payload, 16, 16)
        with pytest.raises(MissingCodecError, match="cannot encode AVIF"):
            encode_av1(pixels, 50)


@av1
def test_av1_of_another_size_is_refused_before_memory_is_taken() -> None:
    payload = encode_av1(screen(64, 4000), 10, speed=9)
    tracemalloc.start()
    with pytest.raises(FormatError, match="4000×64, the file says 64×64"):
        decode_av1(payload, 64, 64)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 100_000


CODERS: dict[str, tuple[Callable[..., bytes], Callable[..., np.ndarray]]] = {
    "av1": (lambda pixels: encode_av1(pixels, 30, speed=9), decode_av1),
    "lossless": (encode_lossless, decode_lossless),
}


@pytest.mark.parametrize("kind", [pytest.param("av1", marks=av1), "lossless"])
def test_mutated_payloads_give_an_error_or_pixels(kind: str) -> None:
    """Behind the checksum of the file, which catches these: a hostile file has a right one."""
    encode, decode = CODERS[kind]
    payload = encode(screen(60, 75))
    outcomes = {"error": 0, "pixels": 0}
    for number in range(MUTATIONS_A_KIND):
        rng = np.random.default_rng([5, number])
        changed = BLIND[number % len(BLIND)](rng, payload)
        try:
            shape = decode(changed, 75, 60).shape
        except CotamError as error:
            message = str(error)
            outcomes["error"] += 1
        else:
            message = f"{shape}"
            outcomes["pixels"] += 1
            assert shape == (60, 75, 3)
        assert len(message.splitlines()) == 1
    assert outcomes["error"] > MUTATIONS_A_KIND // 10


def test_random_lossless_payloads() -> None:
    rng = np.random.default_rng(3)
    for size in (0, 1, 5, 100, 3000):
        for _ in range(20):
            with suppress(CotamError):
                assert decode_lossless(rng.bytes(size), 300, 200).shape == (200, 300, 3)
