"""Videos and sequences of frames, from a client through an edge and a gateway to a model."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from clips import clip, moving_scene, still_scene
from gateway_client import LIMITS, serving, until_running
from gateway_servers import Model, data_url, error_of
from PIL import Image

import cotam
from cotam.format.header import Header, Kind
from cotam.format.sequence import SequenceWriter, read_index
from cotam.gateway.converter import Converter
from cotam.gateway.for_api import ForApi
from cotam.gateway.for_model import ForModel
from cotam.gateway.media import read_data_url
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.to_cotam import ToCotam
from cotam.image.video import write_mp4

FRAMES = still_scene(4, (64, 96))
TIMES = [0.0, 0.5, 1.0, 2.25]
SEQUENCE = b"".join(cotam.encode_frames(zip(TIMES, FRAMES, strict=True), quality=20))
SEEN = [hashlib.sha256(image.tobytes()).hexdigest() for _, image in cotam.decode_frames(SEQUENCE)]
STILL = cotam.encode(FRAMES[0])
COTAM = "image/vnd.cotam"


@contextmanager
def server(upstream: str, converter: Converter, **limits: int) -> Iterator[str]:
    with serving(upstream, converter, replace(LIMITS, **limits), page=True) as address:
        yield address


def video_part(data: bytes, media_type: str = "video/mp4") -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": data_url(media_type, data)}}


def image_part(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(COTAM, data), "detail": "high"}}


def ask(address: str, *parts: dict[str, Any], **headers: str) -> httpx2.Response:
    body = {"model": "echo", "messages": [{"role": "user", "content": list(parts)}]}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{address}/v1/chat/completions", json=body, headers=given)


def content_of(model: Model) -> list[dict[str, Any]]:
    """What the model was sent last."""
    found: list[dict[str, Any]] = json.loads(model.bodies[-1])["messages"][0]["content"]
    return found


def shown(answer: httpx2.Response) -> list[str]:
    """Hashes of the images that the model saw."""
    assert answer.status_code == 200, answer.text
    return [row["pixels"] for row in json.loads(answer.json()["choices"][0]["message"]["content"])]


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, error_of(answer)


# The gateway


@pytest.mark.parametrize("part", [video_part(SEQUENCE, COTAM), image_part(SEQUENCE), video_part(SEQUENCE)])
def test_a_sequence_becomes_images_with_their_times(
    part: dict[str, Any], upstream: str, model: Model
) -> None:
    before, after = {"type": "text", "text": "Before."}, {"type": "text", "text": "What happens?"}
    with server(upstream, ForModel(10**6)) as address:
        assert shown(ask(address, before, part, image_part(STILL), after))[:4] == SEEN
        metrics = until_running(address, 0)
    content = content_of(model)
    assert [part.get("text", part["type"]) for part in content] == [
        "Before.",
        *("<0.0 seconds>", "image_url", "<0.5 seconds>", "image_url"),
        *("<1.0 seconds>", "image_url", "<2.2 seconds>", "image_url"),
        *("image_url", "What happens?"),
    ]
    detail = {"high"} if part["type"] == "image_url" else {None}
    assert {content[number]["image_url"].get("detail") for number in (2, 4, 6, 8)} == detail
    assert 'cotam_images_total{result="png",source="sequence"} 1.0' in metrics


def test_responses(upstream: str, model: Model) -> None:
    part: Any = {"type": "input_image", "image_url": data_url(COTAM, SEQUENCE), "detail": "low"}
    video: Any = {"type": "input_video", "video_url": data_url(COTAM, SEQUENCE)}
    with (
        server(upstream, ForModel(10**6)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as api,
    ):
        answer = api.responses.create(model="echo", input=[{"role": "user", "content": [part, video]}])
    rows = json.loads(answer.output_text)
    assert [row["pixels"] for row in rows] == SEEN * 2
    content = json.loads(model.bodies[-1])["input"][0]["content"]
    assert content[0] == {"type": "input_text", "text": "<0.0 seconds>"}
    assert [part["detail"] for part in content[1::2]] == ["low"] * 4 + ["auto"] * 4


def test_a_still_image_as_video(upstream: str, model: Model) -> None:
    with server(upstream, ForModel(10**6)) as address:
        (pixels,) = shown(ask(address, video_part(STILL, COTAM)))
    assert pixels == hashlib.sha256(cotam.decode(STILL).tobytes()).hexdigest()
    assert [part["type"] for part in content_of(model)] == ["image_url"]


def test_frames_of_earlier_turns_are_not_decoded_again(upstream: str) -> None:
    with server(upstream, ForModel(10**6)) as address:
        assert shown(ask(address, video_part(SEQUENCE, COTAM), image_part(SEQUENCE))) == SEEN * 2
        assert "\ncotam_images_cached_total 1.0\n" in until_running(address, 0)


def test_the_log_of_bytes_counts_frames(upstream: str) -> None:
    rows: list[dict[str, Any]] = []
    with server(upstream, ForModel(10**6, log=rows.append, roundtrip=RequestOptions(quality=10))) as address:
        ask(address, video_part(SEQUENCE, COTAM))
    (row,) = rows
    assert (row["source"], row["frames"], row["bytes"]) == ("sequence", 4, len(SEQUENCE))
    assert row["bpp"] == pytest.approx(8 * len(SEQUENCE) / (4 * 64 * 96), abs=1e-5)


def _changed(at: int) -> bytes:
    return SEQUENCE[:at] + bytes([SEQUENCE[at] ^ 255]) + SEQUENCE[at + 1 :]


def _no_frames() -> bytes:
    writer = SequenceWriter(Header(64, 64, 50, Kind.SEQUENCE, SEQUENCE[10:12]))
    return writer.start() + writer.finish()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SEQUENCE[: len(SEQUENCE) // 2], "the sequence ends within frame"),
        (SEQUENCE[:-1], "the sequence ends within its index"),
        (SEQUENCE[:12], "ends within its"),
        (_changed(read_index(SEQUENCE).entries[2].start - 5), "frame 1: "),
        (_changed(len(SEQUENCE) - 7), "the index at the end is damaged"),
        (SEQUENCE + b"more", "bytes after the end"),
        (_no_frames(), "the sequence has no frames"),
    ],
)
def test_damaged_sequences(data: bytes, reason: str, upstream: str, model: Model) -> None:
    with server(upstream, ForModel(10**6)) as address:
        status, message = refusal(ask(address, image_part(STILL), video_part(data, COTAM)))
    assert status == 400
    assert message.startswith("messages[0].content[1].video_url: ")
    assert reason in message
    assert not model.bodies


def test_frames_count_before_any_is_decoded(upstream: str, model: Model) -> None:
    size = 64 * 96
    for limits, count, expected in (
        (
            {"images": 7, "pixels": 2 * size},
            2,
            (413, "8 images and frames, more than the limit of 7"),
        ),
        ({"images": 99, "pixels": size}, 4, (400, "the images of the request take 0 MB as PNG, more than")),
        ({"images": 99, "pixels": size - 1}, 1, (400, "the image is 96×64, 0.0 MP: more than the limit")),
    ):
        with server(upstream, ForModel(limits["pixels"]), **limits) as address:
            answer = ask(address, *[video_part(SEQUENCE, COTAM)] * count)
            decoded = until_running(address, 0).count('s_total{result="png",source="sequence"}')
        status, message = refusal(answer)
        assert (status, expected[1] in message) == (expected[0], True), message
        assert decoded == (count > 1)  # those before, which are within the limits
        assert not model.bodies
    with server(upstream, ForModel(2 * size), images=8) as address:
        assert shown(ask(address, *[video_part(SEQUENCE, COTAM)] * 2)) == SEEN * 2


def test_other_videos_pass_and_their_addresses_are_refused(upstream: str, model: Model) -> None:
    away = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    with server(upstream, ForModel(10**6, roundtrip=RequestOptions())) as address:
        answer = ask(address, video_part(b"\0\0\0\x18ftypmp42"), video_part(b"GIF89a"))
        assert answer.status_code == 200
        assert content_of(model) == [video_part(b"\0\0\0\x18ftypmp42"), video_part(b"GIF89a")]
        status, message = refusal(ask(address, away))
    assert status == 400
    reason = (
        "addresses of example.com are not allowed here (--allow-remote): "
        "send the video itself, as data:video/…;base64,…"
    )
    assert message == f"messages[0].content[0].video_url: {reason}"


def test_a_screenshot_is_no_sequence(upstream: str) -> None:
    shot = {"type": "computer_screenshot", "image_url": data_url(COTAM, SEQUENCE)}
    body = {"model": "echo", "input": [{"type": "computer_call_output", "output": shot}]}
    with server(upstream, ForModel(10**6)) as address:
        status, message = refusal(httpx2.post(f"{address}/v1/responses", json=body))
    assert (status, message.startswith("input[0].output.image_url: a single image belongs here")) == (
        400,
        True,
    )


def test_plain_decode_and_encode(upstream: str) -> None:
    with server(upstream, ForModel(10**6)) as address:
        answer = httpx2.post(f"{address}/v1/cotam/decode", content=SEQUENCE)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        refused = httpx2.post(f"{address}/v1/cotam/encode", content=b"\0\0\0\x18ftypmp42")
    assert refusal(refused) == (
        400,
        "the body is a video: use cotam encode or cotam edge to make a sequence of it",
    )


# The edge


@pytest.fixture(scope="module")
def mp4() -> bytes:
    """Five seconds, ten frames a second."""
    pytest.importorskip("av")
    return clip(still_scene(50, (64, 96)), [number / 10 for number in range(50)])


def test_a_video_goes_as_a_sequence(mp4: bytes, upstream: str, model: Model) -> None:
    with (
        server(upstream, ForModel(10**6)) as cloud,
        server(cloud, ToCotam(RequestOptions(quality=30), 10**6)) as edge,
    ):
        raw = ask(edge, {"type": "text", "text": "?"}, video_part(mp4))
        assert len(shown(raw)) == 5
        metrics = until_running(edge, 0)
    texts = [part["text"] for part in content_of(model) if part["type"] == "text"]
    assert texts == ["?", *(f"<{second}.0 seconds>" for second in range(5))]
    bytes_in, bytes_out = map(int, raw.headers["x-cotam-bytes"].split(","))
    assert bytes_out < bytes_in / 2
    assert 'cotam_images_total{result="cotam",source="mp4"} 1.0' in metrics


def sent(model: Model) -> tuple[float, ...]:
    """Times of the sequence that left the edge."""
    (part,) = content_of(model)
    assert part["type"] == "video_url"
    found = read_data_url(part["video_url"]["url"])
    assert found
    assert found.media_type == COTAM
    return cotam.open_sequence(found.data).info.times


def test_headers_say_which_frames(mp4: bytes, upstream: str, model: Model) -> None:
    with server(upstream, ToCotam(RequestOptions(quality=30, fps=0.5, target_size=9), 10**6)) as edge:
        ask(edge, video_part(mp4))
        assert sent(model) == (0.0, 2.0, 4.0)
        ask(edge, video_part(mp4), x_cotam_fps="2", x_cotam_max_frames="3")
        assert sent(model) == (0.0, 2.4, 4.9)
        ask(edge, video_part(mp4), x_cotam_max_frames="0")
        assert content_of(model) == [video_part(mp4)]
        status, message = refusal(ask(edge, video_part(mp4), x_cotam_fps="0"))
    assert (status, message) == (400, "x-cotam-fps: '0' is not a number of frames a second, such as 0.5")


def test_webm_and_gif(upstream: str, model: Model) -> None:
    pytest.importorskip("av")
    matroska = clip(moving_scene(3, (64, 96)), [0, 1, 2], form="matroska")
    with server(upstream, ToCotam(RequestOptions(quality=10), 10**6)) as edge:
        ask(edge, video_part(matroska, "video/webm"))
        assert sent(model) == (0.0, 1.0, 2.0)
        gif = io.BytesIO()
        first, *rest = map(Image.fromarray, FRAMES)
        first.save(gif, "GIF", save_all=True, append_images=rest, duration=1000)
        ask(edge, video_part(gif.getvalue(), "image/gif"))
        assert sent(model) == (0.0, 1.0, 2.0, 3.0)
        gif = io.BytesIO()
        first.save(gif, "GIF", save_all=True, append_images=rest)  # without delays: FFmpeg reads one frame
        ask(edge, video_part(gif.getvalue(), "image/gif"), x_cotam_fps="10")
        assert len(sent(model)) == len(FRAMES)


def test_what_would_grow_or_cannot_be_read_passes(mp4: bytes, upstream: str, model: Model) -> None:
    small = io.BytesIO()
    write_mp4(small, [(number / 10, Image.fromarray(FRAMES[number])) for number in range(4)])
    with server(upstream, ToCotam(RequestOptions(quality=100, fps=10), 64 * 96)) as edge:
        for data in (
            small.getvalue(),
            mp4[: len(mp4) // 2],
            b"\0\0\0\x18ftypmp42" + bytes(90),
            b"#EXTM3U\n",
        ):
            assert ask(edge, video_part(data)).status_code == 200
            assert content_of(model) == [video_part(data)]
    with server(upstream, ToCotam(RequestOptions(quality=10), 64 * 96 - 1)) as edge:
        assert ask(edge, video_part(mp4)).status_code == 200
        assert content_of(model) == [video_part(mp4)]


def test_a_video_that_is_not_in_a_list_passes(mp4: bytes, upstream: str, model: Model) -> None:
    """A single part has no place for several frames."""
    body = {"model": "echo", "messages": [{"role": "user", "content": video_part(mp4)}]}
    with server(upstream, ToCotam(RequestOptions(quality=10), 10**6)) as edge:
        assert httpx2.post(f"{edge}/v1/tokenize", json=body).json() == body


def test_a_video_of_which_a_part_is_asked_for_passes(mp4: bytes, upstream: str, model: Model) -> None:
    """Gemini's ``videoMetadata`` names its beginning, end and frames, which a sequence would not have."""
    inline = {"mimeType": "video/mp4", "data": base64.b64encode(mp4).decode()}
    for key in ("videoMetadata", "video_metadata"):
        body = {"contents": [{"parts": [{"inlineData": inline, key: {"startOffset": "2s", "fps": 5}}]}]}
        with server(upstream, ToCotam(RequestOptions(quality=10), 10**6)) as edge:
            httpx2.post(f"{edge}/v1beta/models/gemini-3:generateContent", json=body)
        assert json.loads(model.bodies[-1]) == body


def test_hosted_apis_get_videos_as_they_are(mp4: bytes, upstream: str, model: Model) -> None:
    converter = ForApi("jpeg", "claude", 1000, 10**6, 10**6)
    with server(upstream, converter) as edge:
        assert ask(edge, video_part(mp4), video_part(b"GIF89a")).status_code == 200
    assert content_of(model) == [video_part(mp4), video_part(b"GIF89a")]


def test_without_the_extra_videos_pass_and_the_log_says_so(
    mp4: bytes,
    upstream: str,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with (
        caplog.at_level(logging.WARNING, "cotam.gateway"),
        server(upstream, ToCotam(RequestOptions(), 10**6)) as edge,
    ):
        assert ask(edge, video_part(mp4)).status_code == 200
    assert content_of(model) == [video_part(mp4)]
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.getMessage() == "a video passes as it is"
    assert "[video]'" in record.fields["reason"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "converter", [ToCotam(RequestOptions(), 10**6), ForApi("jpeg", None, None, None, 10**6)]
)
def test_a_video_of_another_format_passes_and_the_log_says_so(
    converter: Converter, upstream: str, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    flv = video_part(b"FLV\1\5\0\0\0\t", "video/x-flv")
    far = {"type": "video_url", "video_url": {"url": "https://example.com/clip.mp4"}}
    with caplog.at_level(logging.WARNING, "cotam.gateway"), server(upstream, converter) as edge:
        assert ask(edge, flv, far).status_code == 200
    assert content_of(model) == [flv, far]
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.getMessage() == "a video passes as it is"
    assert record.fields["part"] == "messages[0].content[0].video_url"  # type: ignore[attr-defined]
