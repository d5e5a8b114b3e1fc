"""``cotam edge --upstream``: images within the limits of hosted APIs, the same from turn to turn."""

from __future__ import annotations

import io
import logging
import zlib
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gateway_parts import only, opened, parts_of, saved, turned, turns_of
from gateway_servers import data_url
from PIL import Image
from synthetic import picture

import cotam
from cotam.errors import LimitError
from cotam.gateway.converter import Job
from cotam.gateway.for_api import RUNGS, ForApi
from cotam.gateway.media import Media, check_size, url_length
from cotam.gateway.refusal import RefusedError
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.threads import Threads
from cotam.image.psnr import psnr

PIXELS = picture(120, 160)


def budget(**given: Any) -> ForApi:
    options = {"form": "jpeg", "fit": None, "image_bytes": None, "request_bytes": None, "size_limit": 10**7}
    return ForApi(**(options | given))


def length(media: Media) -> int:
    """Characters of a data URL."""
    return url_length(media.media_type, len(media.data))


@cache
def square() -> str:
    """A large photograph, as PNG."""
    return url_of(picture(800, 800))


def url_of(pixels: np.ndarray, form: str = "PNG", **options: Any) -> str:
    return data_url(f"image/{form.lower()}", saved(pixels, form, **options))


def test_what_is_fit_stays() -> None:
    for form in ("PNG", "JPEG", "WEBP", "GIF"):
        assert budget(fit="claude", request_bytes=10**6)(turns_of(url_of(PIXELS, form)), Job()) == {}


def test_a_wrong_media_type_is_corrected() -> None:
    """Anthropic's API refuses a JPEG that is called a PNG, or ``image/jpg``, as some clients call it."""
    data = saved(PIXELS, "JPEG")
    for wrong in ("image/png", "image/jpg"):
        assert only(budget(fit="claude"), data, media_type=wrong) == Media("image/jpeg", data)
    assert only(budget(fit="claude"), data, media_type="image/jpeg") is None


def test_turned_images_are_put_upright() -> None:
    kind, image, _ = opened(only(budget(), turned(PIXELS)))
    assert (kind, image.format, image.size) == ("image/jpeg", "JPEG", (160, 120))
    assert psnr(np.asarray(image.convert("RGB")), PIXELS) > 28
    assert not image.getexif()


def test_images_are_shrunk_to_what_is_useful() -> None:
    _, image, _ = opened(only(budget(fit="llava-1.5", form="webp"), saved(picture(700, 800))))
    assert (image.size, image.format) == ((384, 336), "WEBP")


def test_an_image_is_coded_under_its_budget() -> None:
    data = saved(picture(500, 500))
    for limit in (60_000, 20_000, 5_000):
        assert limit / 3 < opened(only(budget(image_bytes=limit), data))[2] <= limit
    long = saved(picture(4, 20_000))  # longer than WebP allows
    assert opened(only(budget(image_bytes=3_000, form="webp"), long))[2] <= 3_000
    with pytest.raises(RefusedError, match="more than the 500 of an image") as caught:
        only(budget(image_bytes=500), data)
    assert caught.value.status == 413


@pytest.mark.parametrize("side", [60_000, 2**31 - 1])
def test_a_large_size_in_the_header_costs_little(side: int) -> None:
    """Pillow decodes a PNG to find its orientation."""
    data = bytearray(saved(PIXELS[:1, :1]))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(LimitError, match=f"the image is {side}×{side}"):
        check_size(bytes(data), 10**7)


def test_images_are_coded_under_the_budget_of_the_request() -> None:
    photos = [url_of(picture(400, 500, seed)) for seed in range(4)]
    rest = 1000
    sizes = []
    for limit in (400_000, 120_000, 30_000):
        found = parts_of(*photos, url_of(PIXELS[:20, :20]), "https://example.com/a.png")
        urls = budget(request_bytes=limit)(found, Job(rest=rest))
        assert found[4] not in urls  # small enough as it is
        assert found[5] not in urls
        total = rest + sum(length(urls[part]) if part in urls else len(part.text) for part in found)
        assert 0.4 * limit < total <= limit
        sizes.append(opened(urls[found[0]])[1].size)
    assert sizes[0] == (500, 400)
    assert sizes[2] < sizes[0]
    with pytest.raises(RefusedError, match=r"4 images take at least .* fewer images, or raise") as caught:
        budget(request_bytes=4000)(parts_of(*photos), Job(rest=rest))
    assert caught.value.status == 413


# From turn to turn


def session(converter: ForApi, urls: list[str], first: int, limit: int) -> list[list[bytes]]:
    """The image files that are sent in each turn of a conversation, every turn repeating all images."""
    turns = []
    for count in range(first, len(urls) + 1):
        parts = turns_of(*urls[:count])
        news = converter(parts, Job(rest=200 * count))
        assert sum(length(news[p]) if p in news else len(p.text) for p in parts) + 200 * count <= limit
        sent = [news.get(part, part.media) for part in parts]
        turns.append([media.data for media in sent if media])
    return turns


def test_images_of_earlier_turns_stay_the_same_bytes_but_for_few_large_steps() -> None:
    urls = [url_of(picture(120, 160, seed)) for seed in range(30)]
    limit = 12 * len(urls[0])
    turns = session(budget(request_bytes=limit), urls, 1, limit)
    changed = [
        sum(one != other for one, other in zip(before, after, strict=False))
        for before, after in pairwise(turns)
    ]
    assert sum(count > 0 for count in changed) <= 4
    originals = [media.data for part in turns_of(*urls) if (media := part.media)]
    for count, turn in enumerate(turns, 1):
        assert turn[-3:] == originals[max(count - 3, 0) : count]  # what the agent saw last
    # Another edge, or one that was started anew, chooses the same.
    assert session(budget(request_bytes=limit), urls, 22, limit) == turns[21:]


def test_many_images_of_a_large_request_go_down_too() -> None:
    """A hundred and fifty screenshots of 300 kB, where Claude's API takes 32 MB."""
    data = saved(picture(330, 330))
    url = data_url("image/png", data)
    assert 250_000 < len(url) < 500_000
    news = budget(fit="auto")(turns_of(*[url] * 150), Job(model="claude-opus-4-7"))
    assert sum(length(media) for media in news.values()) + (150 - len(news)) * len(url) <= 32_000_000


def test_images_of_one_turn_go_down_together() -> None:
    urls = [url_of(picture(120, 160, seed)) for seed in range(10)]
    limit = 3 * len(urls[0])
    news = budget(request_bytes=limit)(parts_of(*urls), Job())
    sizes = [len(media.data) for media in news.values()]
    assert len(sizes) == 10
    assert max(sizes) < 1.5 * min(sizes)


def test_threads_change_no_bytes() -> None:
    urls = [url_of(picture(120, 160, seed)) for seed in range(12)]
    given = {"request_bytes": 4 * len(urls[0]), "fit": "llava-1.5"}
    job = Job()
    expected = list(budget(**given)(turns_of(*urls), job).values())
    with Threads(4, "test") as threads:
        pool_job = Job(each=threads.each)
        found = threads.submit(budget(**given), turns_of(*urls), pool_job).result()
    assert len(expected) > 8
    assert list(found.values()) == expected
    assert pool_job.conversions == job.conversions


# Limits of the model's API


def sent(model: str, *urls: str, detail: str | None = None, fit: str = "auto", **given: Any) -> list[Media]:
    """What a model is sent, in order."""
    parts = turns_of(*urls, detail=detail)
    news = budget(fit=fit, **given)(parts, Job(model=model))
    found = [news.get(part, part.media) for part in parts]
    return [media for media in found if media]


@pytest.mark.parametrize(
    ("model", "form", "expected"),
    [
        ("grok-4", "WEBP", "jpeg"),
        ("grok-4", "GIF", "jpeg"),
        ("grok-4", "PNG", "png"),
        ("gpt-6", "WEBP", "webp"),
        ("gpt-6", "AVIF", "jpeg"),
        ("gpt-6", "BMP", "jpeg"),
        ("gpt-6", "TIFF", "jpeg"),
        ("claude-opus-4-7", "AVIF", "jpeg"),
        ("gemini-3-pro", "GIF", "jpeg"),
        ("unknown-model", "AVIF", "jpeg"),
        ("unknown-model", "WEBP", "webp"),
    ],
)
def test_formats_that_the_api_does_not_open_become_another(model: str, form: str, expected: str) -> None:
    (media,) = sent(model, url_of(PIXELS, form))
    with Image.open(io.BytesIO(media.data)) as image:
        assert image.format == expected.upper()
        off = np.abs(np.asarray(image.convert("RGB"), int) - PIXELS)
    assert off.mean() < 8
    assert media.media_type == f"image/{expected}"


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_becomes_its_first_frame(form: str) -> None:
    """OpenAI's API takes only still ones."""
    (media,) = sent("gpt-6", url_of(PIXELS, form, save_all=True, append_images=[Image.new("L", (160, 120))]))
    with Image.open(io.BytesIO(media.data)) as image:
        assert image.format == "JPEG"
        assert psnr(np.asarray(image.convert("RGB")), PIXELS) > 25


def test_cotam_from_a_client_becomes_an_image_that_the_api_opens() -> None:
    coded = cotam.encode(PIXELS)
    (media,) = sent("gpt-6", data_url("image/vnd.cotam", coded))
    _, image, _ = opened(media)
    assert image.format == "JPEG"
    assert psnr(np.asarray(image), np.asarray(cotam.decode(coded))) > 30
    sequence = b"".join(cotam.encode_frames([(0.0, PIXELS), (1.0, PIXELS)]))
    for wrong, reason in ((coded[:50], "ends"), (sequence, "a sequence of frames cannot be sent")):
        with pytest.raises(RefusedError, match=reason) as caught:
            sent("gpt-6", data_url("image/vnd.cotam", wrong))
        assert caught.value.status == 400


def test_base64_is_counted_where_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1200, 3), np.uint8)
    url = url_of(noise)
    file = len(url) * 3 // 4
    assert 3_750_000 < file < 5_000_000 < len(url)
    assert len(sent("claude-opus-4-7", url)[0].data) == pytest.approx(file, abs=30)
    (media,) = sent("anthropic.claude-opus-4-7-v1:0", url)  # 5 MB of base64
    assert length(media) <= 5_000_000
    assert media.media_type == "image/jpeg"


def test_above_twenty_images_claude_takes_smaller_ones() -> None:
    wide = url_of(np.full((40, 2400, 3), 200, np.uint8))
    small = url_of(PIXELS[:20, :20])
    for count, width in ((20, 2400), (21, 2000)):
        media = sent("claude-opus-4-7", wide, *[small] * (count - 1))
        assert opened(media[0])[1].width == width


def test_an_image_that_would_grow_is_left_to_the_api_to_shrink() -> None:
    flat = url_of(np.full((3000, 2600, 3), 200, np.uint8))
    media = sent("claude-opus-4-7", flat)
    assert opened(media[0])[1].size == (2600, 3000)
    assert data_url("image/png", media[0].data) == flat


def test_patches_are_limited() -> None:
    large = url_of(np.full((5500, 6000, 3), 200, np.uint8))
    (media,) = sent("gpt-5.6", large, size_limit=10**8)
    width, height = opened(media)[1].size
    assert 0.9 * 30_000 < -(-width // 32) * -(-height // 32) <= 30_000


@pytest.mark.parametrize(
    ("model", "detail", "expected"),
    [
        ("gpt-4o", "low", (512, 512)),
        ("gpt-4o", "high", (768, 768)),
        ("gpt-4o", "auto", (768, 768)),
        ("gpt-4o", None, (768, 768)),
        ("gpt-5.5", "original", (800, 800)),
        ("gpt-5.5", "low", (512, 512)),
        ("claude-opus-4-7", "low", (800, 800)),
    ],
)
def test_detail_is_honoured(model: str, detail: str | None, expected: tuple[int, int]) -> None:
    (media,) = sent(model, square(), detail=detail)
    assert opened(media)[1].size == expected


def test_one_image_at_two_levels_of_detail() -> None:
    low, high = turns_of(square(), detail="low"), turns_of("", square(), detail="high")[1:]
    changes = budget(fit="auto")(low + high, Job(model="gpt-4o"))
    assert [opened(changes[part])[1].size for part in low + high] == [(512, 512), (768, 768)]


def test_unknown_models_keep_sizes_and_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    large = url_of(picture(30, 5000))
    with caplog.at_level(logging.WARNING, "cotam.gateway"):
        for _ in range(3):
            assert opened(sent("claudius-9", large)[0])[1].size == (5000, 30)
        assert opened(sent("gpt-4o", large, fit="none")[0])[1].size == (5000, 30)
        assert opened(sent("claudius-9", large, fit="claude")[0])[1].size[0] <= 2576
    (record,) = caplog.records
    assert record.fields["model"] == "claudius-9"  # type: ignore[attr-defined]
    assert "claude" in record.fields["reason"]  # type: ignore[attr-defined]


def test_what_cannot_be_read_passes_with_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    urls = [
        data_url("image/png", saved(PIXELS)[:100]),
        data_url("image/x-odd", b"odd"),
        url_of(np.full((100, 100, 3), 9, np.uint8)),
    ]
    with caplog.at_level(logging.WARNING, "cotam.gateway"):
        assert budget(fit="auto", size_limit=9999)(turns_of(*urls), Job(model="gpt-6")) == {}
    reasons = [record.fields["reason"] for record in caplog.records]  # type: ignore[attr-defined]
    assert len(reasons) == 3
    assert "100×100" in reasons[2]


def test_an_image_that_lacks_pixels_passes_too(caplog: pytest.LogCaptureFixture) -> None:
    data = saved(PIXELS, "JPEG")
    cut, whole = data_url("image/jpeg", data[: len(data) * 3 // 4]), url_of(PIXELS)
    with caplog.at_level(logging.WARNING, "cotam.gateway"):
        job = Job(options=RequestOptions(max_pixels=1000), model="gpt-4o")
        news = budget(fit="none")(turns_of(cut, whole), job)
    assert [part.place[1] for part in news] == [1]
    (record,) = caplog.records
    assert "image file is truncated" in record.fields["reason"]  # type: ignore[attr-defined]


def test_tokens_are_counted() -> None:
    job = Job(model="claude-opus-4-7")
    budget(fit="auto")(turns_of(url_of(np.full((1000, 1000, 3), 9, np.uint8)), url_of(PIXELS)), job)
    assert job.tokens == 36 * 36 + 5 * 6
    job = Job(model="unknown-model")
    budget(fit="auto")(turns_of(url_of(PIXELS)), job)
    assert job.tokens is None
    job = Job(model="claude-opus-4-7", images=2)
    budget(fit="auto")(turns_of(url_of(PIXELS), "https://example.com/size-unknown.png"), job)
    assert job.tokens is None


def test_what_is_new_or_passes_is_not_counted_as_cached() -> None:
    job, converter = Job(), budget(fit="llava-1.5")
    for _ in range(2):
        converter(turns_of(url_of(PIXELS), square()), job)
    found = [(one.source, one.result, one.cached) for one in job.conversions]
    first = [("png", "png", False), ("png", "jpeg", False)]
    assert found == [*first, ("png", "png", False), ("png", "jpeg", True)]


# Rungs


def test_rungs_go_down() -> None:
    image, sizes = Image.fromarray(picture(300, 300)), []
    for scale, quality in RUNGS:
        side = round(300 * scale)
        sizes.append(len(saved(np.asarray(image.resize((side, side))), "JPEG", quality=quality)))
    assert all(0.45 < small / large < 0.9 for large, small in pairwise(sizes))
