"""The payloads that Pillow codes and decodes: AV1 and lossless."""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mutations import BLIND
from PIL import features
from synthetic import screen

import cotam
from cotam.codec.standard import (
    can_encode_av1,
    can_encode_lossless,
    decode_av1,
    decode_lossless,
    encode_av1,
    encode_lossless,
)
from cotam.errors import CotamError, DamagedError, FormatError, LimitError, MissingCodecError
from cotam.format.header import File, Header, Kind, read_file

av1 = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")

MUTATIONS_A_KIND = 350
"""COTAM_MUTATIONS=5000 in the environment mutates so many files of each kind."""

ERRORS = (
    "DamagedError",
    "FormatError",
    "LimitError",
    "NotCotamError",
    "TruncatedError",
    "UnknownWeightsError",
)


@av1
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (90, 131)])
def test_av1_round_trip(height: int, width: int) -> None:
    pixels = screen(height, width)
    sharp, coarse = (encode_av1(pixels, quality, speed=9) for quality in (95, 10))
    errors = [np.abs(decode_av1(data, width, height) - pixels.astype(int)).mean() for data in (sharp, coarse)]
    assert errors[0] < 5
    if height > 1:
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


def test_a_lossless_image_above_the_limit_of_pillow() -> None:
    """Pillow 13 has one in its reader of WebP; earlier ones find the damage."""
    payload = encode_lossless(screen(32, 32))
    with pytest.raises((LimitError, DamagedError)):
        decode_lossless(payload, 13_500, 13_500)


def test_lossless_keeps_noise_and_one_colour() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    flat = np.full((1000, 900, 3), 7, np.uint8)
    assert np.array_equal(decode_lossless(encode_lossless(noise), 47, 33), noise)
    data = encode_lossless(flat)
    assert len(data) < 100
    assert np.array_equal(decode_lossless(data, 900, 1000), flat)


def test_sides_beyond_the_standards_are_not_encoded() -> None:
    assert not can_encode_av1(1, (1 << 15) + 1)
    assert not can_encode_lossless(1, 1 << 14)
    longest = np.zeros(((1 << 14) - 1, 1, 3), np.uint8)
    np.testing.assert_array_equal(decode_lossless(encode_lossless(longest), *longest.shape[1::-1]), longest)
    assert cotam.decode(cotam.encode(np.zeros((1 << 14, 1, 3), np.uint8))).size == (1, 1 << 14)
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


def test_random_lossless_payloads() -> None:
    rng = np.random.default_rng(3)
    for size in (0, 1, 5, 100, 3000):
        for _ in range(20):
            with suppress(CotamError):
                assert decode_lossless(rng.bytes(size), 300, 200).shape == (200, 300, 3)


def files_of_both_kinds() -> dict[Kind, bytes]:
    """A small file of each kind that Pillow codes here."""
    pixels = screen(60, 75)
    lossless = File(Header(75, 60, 50, Kind.LOSSLESS), encode_lossless(pixels))
    found = {Kind.LOSSLESS: lossless.data}
    if features.check("avif"):
        found[Kind.AV1] = File(Header(75, 60, 50, Kind.AV1), encode_av1(pixels, 30, speed=9)).data
    return found


def mutated(rng: np.random.Generator, number: int, data: bytes) -> bytes:
    """Blind damage to the whole file, or to header fields or payload with right checksums around it."""
    how = number % 3
    if how == 0:
        return BLIND[number // 3 % len(BLIND)](rng, data)
    file = read_file(data)
    if how == 1:
        changes: list[dict[str, Any]] = [
            {"width": int(rng.integers(1, 1 << 20)), "height": int(rng.integers(1, 1 << 20))},
            {"width": file.height, "height": file.width},
            {"height": file.height + 1},
            {"kind": Kind(int(rng.choice([0, 1, 2, 4]))), "weights": b""},
            {"quality": int(rng.integers(0, 101))},
        ]
        return replace(file, header=replace(file.header, **changes[number // 3 % len(changes)])).data
    return replace(file, payload=BLIND[number // 3 % len(BLIND)](rng, file.payload)).data


def outcome(data: bytes, original: bytes, pixels: np.ndarray) -> str:
    """The error's name, "image", or "another image" where one came out that need not be right."""
    try:
        decoded = np.asarray(cotam.decode(data, size_limit=1_000_000))
    except CotamError as error:
        return type(error).__name__ if len(str(error).splitlines()) == 1 else f"text of {error!r}"
    if np.array_equal(decoded, pixels):
        return "image"
    assert read_file(data).payload != read_file(original).payload  # whose checksum was made right
    return "another image"


@pytest.mark.parametrize("kind", [pytest.param(Kind.AV1, marks=av1), Kind.LOSSLESS])
def test_mutated_files(kind: Kind) -> None:
    """Damage gives an error or the right image; a forged checksum may give another one, of the right size."""
    original = files_of_both_kinds()[kind]
    pixels = np.asarray(cotam.decode(original))
    found: Counter[str] = Counter()
    for number in range(int(os.environ.get("COTAM_MUTATIONS", MUTATIONS_A_KIND))):
        data = mutated(np.random.default_rng([7, number]), number, original)
        answer = outcome(data, original, pixels)
        assert answer != "another image" or number % 3 == 2
        found[answer] += 1
    assert set(found) <= {"image", "another image", *ERRORS}
    assert found["DamagedError"]
    assert found["FormatError"]
    assert found["LimitError"]
