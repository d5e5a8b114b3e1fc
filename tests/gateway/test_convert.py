"""What becomes of images, without HTTP: for models and for gateways."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gateway_parts import only, opened, parts_of, saved
from gateway_servers import data_url
from PIL.ImageFile import ImageFile
from synthetic import picture

import cotam
from cotam.cli.options import byte_count
from cotam.gateway.cache import OVERHEAD, Cache
from cotam.gateway.converter import Job
from cotam.gateway.for_api import ForApi
from cotam.gateway.for_model import ForModel
from cotam.gateway.limits import MAX_IMAGES
from cotam.gateway.media import Media
from cotam.gateway.parts import Part, Where
from cotam.gateway.refusal import RefusedError
from cotam.gateway.request_options import RequestOptions, options_in_headers
from cotam.gateway.store import RequestFiles, Store
from cotam.gateway.to_cotam import ToCotam

PIXELS = picture(120, 160)
CODED = cotam.encode(PIXELS)


# For models


@pytest.mark.parametrize("media_type", ["image/vnd.cotam", "application/octet-stream", "image/jpeg"])
def test_cotam_becomes_png_whatever_it_is_called(media_type: str) -> None:
    job = Job()
    url = only(ForModel(10**6), CODED, job=job, media_type=media_type)
    assert url
    kind, image, size = opened(url)
    assert kind == "image/png"
    assert np.array_equal(image, cotam.decode(CODED))
    (conversion,) = job.conversions
    expected = ("cotam", "png", len(CODED), size, False)
    assert (
        conversion.source,
        conversion.result,
        conversion.bytes_in,
        conversion.bytes_out,
        conversion.cached,
    ) == expected


def test_other_images_stay_as_they_are() -> None:
    others = ["data:image/png;base64,_-_-", "data:image/png,abc", data_url("image/tiff", b"II*\0")]
    found = parts_of(data_url("image/png", saved(PIXELS)), *others)
    assert ForModel(10**6)(found, Job()) == {}


@pytest.mark.parametrize(
    ("converter", "data", "result"),
    [
        (ForModel(10**6), CODED, "image/png"),
        (ToCotam(RequestOptions(), 10**6), saved(PIXELS), "image/vnd.cotam"),
        (ForApi("jpeg", "none", None, None, 10**6), saved(PIXELS, "BMP"), "image/jpeg"),
    ],
    ids=["serve", "edge", "hosted"],
)
def test_spaces_before_a_data_url_are_ignored(converter: Any, data: bytes, result: str) -> None:
    (part,) = parts_of(f" \n{data_url('image/png', data)} ")
    assert converter([part], Job())[part].media_type == result


def test_an_image_of_earlier_turns_is_not_decoded_again() -> None:
    converter = ForModel(10**6)
    job = Job()
    first, second = only(converter, CODED, job=job), only(converter, CODED, job=job)
    assert first == second
    assert [one.cached for one in job.conversions] == [False, True]


@pytest.mark.parametrize("data", [CODED, saved(PIXELS, "WEBP")], ids=["cotam", "webp"])
def test_no_client_can_tell_what_another_has_sent(data: bytes) -> None:
    """By the time that it takes: what was made for another owner of tokens is not in the cache."""
    converter, cached = ForModel(10**6), []
    for owner in ("one", "other", "other"):
        job = Job(formats=("png",), files=RequestFiles(Store(0), owner))
        assert only(converter, data, job=job)
        cached += [one.cached for one in job.conversions]
    assert cached == [False, False, True]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/a.png", "addresses of example.com are not allowed"),
        ("http://169.254.169.254/latest", "addresses of 169.254.169.254 are not"),
        ("https://fine.example@evil.example/", "addresses of evil.example are not"),
        ("file:///etc/passwd", "not an address of http or https: send the data itself"),
        ("iVBORw0KGgo", "not an address of http or https: send the data itself"),
        (r"http://evil.example\@fine.example/", "a backslash"),
        ("http://evil.example\t.fine.example/", "a control character"),
        (" https://fine.example/", "has a space"),
        ("http://[broken", "the address cannot be read"),
        ("data:image/vnd.cotam;base64,????", "the data is not base64"),
        ("data:image/vnd.cotam,abc", "the data is not a .cotam file in base64"),
        (data_url("image/vnd.cotam", saved(PIXELS)), "not a .cotam file in base64, as image/vnd.cotam says"),
        (data_url("image/vnd.cotam", CODED[:60]), "ends"),
        (data_url("image/vnd.cotam", CODED[:-9] + bytes(9)), "checksum"),
    ],
)
def test_what_a_model_is_not_given(url: str, reason: str) -> None:
    converter = ForModel(10**6, frozenset({"fine.example"}))
    with pytest.raises(RefusedError, match=reason) as caught:
        converter(parts_of("https://fine.example/a.png", url), Job())
    assert caught.value.status == 400
    assert caught.value.param == "messages[0].content[1].image_url"
    assert str(caught.value).startswith("messages[0].content[1].image_url: ")


def test_addresses_of_sounds_and_files_are_refused_too() -> None:
    for key, kind in (("audio_url", "audio"), ("file_url", "file")):
        place: Where = ("input", 0, "content", 0)
        part = Part(place, (key,), kind, "http://10.0.0.1/a")
        with pytest.raises(RefusedError, match=rf"of 10\.0\.0\.1 are not allowed .*: send the {kind} itself"):
            ForModel(10**6)([part], Job())
        data = Part(place, (key,), kind, data_url("image/vnd.cotam", CODED))
        assert ForModel(10**6)([data], Job()) == {}
        ordinary = Part(place, (key,), kind, data_url("image/png", saved(PIXELS)))
        assert ToCotam(RequestOptions(), 10**6)([ordinary], Job()) == {}


def test_all_hosts_can_be_allowed() -> None:
    assert ForModel(10**6, frozenset({"*"}))(parts_of("https://any.example/a.png"), Job()) == {}


def test_pixels_are_limited_for_an_image_and_for_a_request() -> None:
    size = PIXELS.shape[0] * PIXELS.shape[1]
    flat = cotam.encode(np.zeros_like(PIXELS))
    assert only(ForModel(size), *[flat] * 12)
    with pytest.raises(RefusedError, match=r"160×120, 0\.0 MP: more than the limit of 0\.019199 MP"):
        only(ForModel(size - 1), CODED)
    with pytest.raises(RefusedError, match=r"\[12\].*have 0 MP together.*12 times --size-limit"):
        only(ForModel(size), *[flat] * 13)


def test_bytes_for_the_model_are_limited_in_a_request() -> None:
    size = PIXELS.shape[0] * PIXELS.shape[1]
    png = only(ForModel(size), CODED)
    assert png
    fit = 12 * size // len(png.data)
    assert only(ForModel(size, cache=0), *[CODED] * fit)
    message = r"\[{}\].*take 0 MB as PNG, more than the limit of 0\.2304 MB \(12 bytes .*: send fewer"
    with pytest.raises(RefusedError, match=message.format(fit)):
        only(ForModel(size), *[CODED] * (fit + 1))
    job = Job(formats=("png",))  # other formats count too, which become PNG for this server
    with pytest.raises(RefusedError, match="as PNG, more than the limit"):
        only(ForModel(size), *[saved(PIXELS, "WEBP", quality=90)] * 12, job=job)


def test_frames_are_not_decoded_beyond_the_bytes_of_a_request() -> None:
    size = PIXELS.shape[0] * PIXELS.shape[1]
    frames = [(float(number), picture(120, 160, number)) for number in range(12)]
    video = b"".join(cotam.encode_frames(frames))
    job, checks = Job(), [0]

    def check() -> None:
        checks[0] += 1

    job.check = check
    with pytest.raises(RefusedError, match="take 0 MB as PNG"):
        only(ForModel(size), video, job=job)
    assert checks[0] < 10  # one for the part, and one for each frame


def test_a_long_session_of_screenshots_passes() -> None:
    """200 images, each with a 50th of the pixels that an image may have, as 2 MP are of 100."""
    size = 50 * PIXELS.shape[0] * PIXELS.shape[1]
    parts = parts_of(*[data_url("image/vnd.cotam", CODED)] * 200)
    assert len(ForModel(size)(parts, Job(max_images=MAX_IMAGES))) == 200


def test_roundtrip_codes_ordinary_images_and_logs_them() -> None:
    rows: list[dict[str, Any]] = []
    converter = ForModel(10**6, roundtrip=RequestOptions(quality=20), log=rows.append)
    url = only(converter, saved(PIXELS))
    assert url
    coded = cotam.encode(PIXELS, quality=20)
    assert np.array_equal(opened(url)[1], cotam.decode(coded))
    only(converter, saved(PIXELS))
    only(converter, CODED)
    assert [row["bytes"] for row in rows] == [len(coded), len(coded), len(CODED)]
    assert rows[0] == rows[1]
    assert (rows[0]["width"], rows[0]["height"], rows[0]["quality"], rows[0]["source"]) == (
        160,
        120,
        20,
        "png",
    )
    assert rows[0]["bpp"] == pytest.approx(8 * len(coded) / (160 * 120), abs=1e-5)
    job = Job(options=RequestOptions(quality=60))
    only(converter, saved(PIXELS), job=job)
    assert rows[-1]["quality"] == 60


# For gateways


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "BigTIFF", "AVIF"])
def test_ordinary_images_become_cotam(form: str) -> None:
    data = saved(PIXELS, "TIFF", big_tiff=True) if form == "BigTIFF" else saved(PIXELS, form)
    url = only(ToCotam(RequestOptions(quality=30), 10**6), data)
    assert url
    assert url == Media("image/vnd.cotam", cotam.encode(data, quality=30))


def test_what_would_grow_passes() -> None:
    small = saved(PIXELS[:40, :40], "WEBP", quality=0)
    job = Job()
    assert only(ToCotam(RequestOptions(quality=100), 10**6), small, job=job) is None
    assert (job.conversions[0].result, job.conversions[0].bytes_out) == ("webp", len(small))


def test_what_is_not_understood_passes(caplog: pytest.LogCaptureFixture) -> None:
    found = parts_of(
        data_url("image/vnd.cotam", CODED),
        data_url("image/x-portable-pixmap", saved(PIXELS, "PPM")),
        "https://example.com/a.png",
        "file-123",
    )
    with caplog.at_level(logging.WARNING, "cotam.gateway"):
        assert ToCotam(RequestOptions(), 10**6)(found, Job()) == {}
    (record,) = caplog.records
    assert record.fields["part"] == found[1].name  # type: ignore[attr-defined]
    assert record.fields["reason"] == "unknown format"  # type: ignore[attr-defined]


def test_what_cannot_be_read_passes() -> None:
    for data, limit in ((saved(PIXELS)[:100], 10**6), (saved(PIXELS), 1000)):
        job = Job()
        assert only(ToCotam(RequestOptions(), limit), data, job=job) is None
        assert (job.conversions[0].source, job.conversions[0].result, job.conversions[0].bytes_out) == (
            "png",
            "png",
            len(data),
        )


@pytest.mark.parametrize(
    "converter",
    [ToCotam(RequestOptions(), 10**6), ForModel(10**6), ForApi("jpeg", None, None, None, 10**6)],
    ids=["edge", "serve", "hosted"],
)
def test_an_image_for_which_memory_is_short_passes(
    converter: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load(image: ImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile, "load", load)
    with caplog.at_level(logging.WARNING, "cotam.gateway"):
        assert only(converter, saved(PIXELS), job=Job(formats=("jpeg",))) is None
    (record,) = caplog.records
    assert record.fields["reason"] == "not enough memory"  # type: ignore[attr-defined]


def test_a_size_that_is_not_reached_is_said() -> None:
    with pytest.raises(RefusedError, match=r"messages\[0\]\.content\[0\]\.image_url: the smallest file"):
        only(ToCotam(RequestOptions(target_size=20), 10**6), saved(PIXELS))


def test_the_request_decides_over_the_options() -> None:
    both = RequestOptions(target_size=500, fit="claude")
    assert RequestOptions(quality=7).over(both) == RequestOptions(quality=7, fit="claude")
    assert RequestOptions(fit="gemini-3").over(both) == RequestOptions(target_size=500, fit="gemini-3")
    assert RequestOptions(7, 500).for_encode() == {"target_size": 500}
    url = only(ToCotam(both, 10**6), saved(PIXELS), job=Job(options=RequestOptions(quality=7)))
    assert url
    assert url == Media("image/vnd.cotam", cotam.encode(PIXELS, quality=7))


@pytest.mark.parametrize(
    ("text", "count"), [("2000", 2000), ("1.5k", 1500), ("2MB", 2_000_000), ("1G", 10**9)]
)
def test_sizes_are_written_as_on_the_command_line(text: str, count: int) -> None:
    assert byte_count(text) == count
    assert options_in_headers({"x-cotam-target-size": text}) == RequestOptions(target_size=count)


def test_numbers_of_pixels_have_units() -> None:
    assert options_in_headers({"x-cotam-max-pixels": "0.8MP"}) == RequestOptions(max_pixels=800_000)


def test_work_stops_when_nobody_waits() -> None:
    class GoneError(Exception):
        pass

    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise GoneError

    job = Job(check=check)
    with pytest.raises(GoneError):
        only(ToCotam(RequestOptions(), 10**6), *[saved(picture(30, 30, seed)) for seed in range(9)], job=job)
    assert len(job.conversions) == 2


# Cache


def keys_of(cache: Cache, keys: Sequence[int]) -> list[bool]:
    return [cache.get(key, lambda key=key: bytes([key]) * 10)[1] for key in keys]  # type: ignore[misc]


def test_the_cache_forgets_what_was_not_used_last() -> None:
    cache = Cache(3 * (10 + OVERHEAD))
    assert keys_of(cache, [1, 2, 3, 1, 4, 1, 2]) == [False, False, False, True, False, True, False]
    large = bytes(3 * (10 + OVERHEAD))
    assert cache.get(9, lambda: large) == (large, False)
    assert cache.get(9, lambda: large) == (large, False)  # too large to keep
    assert cache.get(2, lambda: b"other") == (b"\2" * 10, True)


def test_small_results_do_not_fill_the_memory() -> None:
    """A key, a place in the order and a result of no bytes take 700 bytes and more."""
    cache = Cache(1_000_000)
    tracemalloc.start()
    for number in range(20_000):
        cache.get((number.to_bytes(32), RequestOptions(quality=number % 101)), lambda: b"")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
