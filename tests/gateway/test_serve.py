"""``cotam serve`` between a real client and a real server on loopback."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from gateway_servers import Model, error_of, running
from PIL import Image
from synthetic import picture

import cotam
from cotam.bitstream import read_file, write_file
from cotam.gateway.app import Limits, application
from cotam.gateway.cli import SERVER
from cotam.gateway.convert import ForModel
from cotam.gateway.relay import Upstream

PIXELS = picture(90, 130)
CODED = cotam.encode(PIXELS)
URL = "data:image/vnd.cotam;base64," + base64.b64encode(CODED).decode()
SEEN = hashlib.sha256(cotam.decode(CODED).tobytes()).hexdigest()


@contextmanager
def gateway(
    upstream: str,
    *,
    token: str | None = None,
    hosts: set[str] = frozenset(),
    silence: float = 30,
    **limits: int,
) -> Iterator[str]:
    """The address of a gateway."""
    given = {"body": 10**6, "requests": 8, "pictures": 8, "pixels": 10**6, "jobs": 2} | limits
    converter = ForModel(given["pixels"], frozenset(hosts))
    to = Upstream(upstream, silence=silence, key=None)
    with running(application(to, converter, Limits(**given), token=token, page=True), **SERVER) as address:
        yield address


@pytest.fixture
def address(upstream: str) -> Iterator[str]:
    with gateway(upstream) as found:
        yield found


def client(address: str, key: str = "sk-client") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def messages(*urls: str) -> Any:
    content: list[Any] = [{"type": "text", "text": "Which pictures?"}]
    content += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": content}]


def send(address: str, *urls: str, **options: Any) -> httpx2.Response:
    body = {"model": "echo", "messages": messages(*urls)}
    return httpx2.post(f"{address}/v1/chat/completions", json=body, timeout=30, **options)


# What reaches the model


def test_a_model_gets_png_of_the_decoded_picture(address: str) -> None:
    with client(address) as api:
        answer = api.chat.completions.create(model="echo", messages=messages(URL, URL))
    rows = json.loads(answer.choices[0].message.content or "")
    assert [(row["type"], row["format"], row["size"], row["pixels"]) for row in rows] == [
        ("image/png", "PNG", [130, 90], SEEN)
    ] * 2


def test_responses(address: str) -> None:
    content: Any = [
        {"type": "input_text", "text": "Which?"},
        {"type": "input_image", "image_url": URL, "detail": "auto"},
    ]
    with client(address) as api:
        answer = api.responses.create(model="echo", input=[{"role": "user", "content": content}])
    assert json.loads(answer.output_text)[0]["pixels"] == SEEN


def test_streams_are_relayed_as_they_come(address: str, model: Model, upstream: str) -> None:
    body = {"model": "echo", "stream": True, "messages": messages(URL)}
    arrived: list[float] = []
    with httpx2.stream("POST", f"{address}/v1/chat/completions", json=body) as answer:
        relayed = b""
        for chunk in answer.iter_raw():
            arrived.append(time.perf_counter())
            relayed += chunk
    assert arrived[-1] - arrived[0] > 0.05  # not all at the end
    direct = httpx2.post(f"{upstream}/v1/chat/completions", content=model.bodies[0])
    assert relayed == direct.content
    assert answer.headers["content-type"] == direct.headers["content-type"]
    with client(address) as api:
        events = api.chat.completions.create(model="echo", messages=messages(URL), stream=True)
        text = "".join(event.choices[0].delta.content or "" for event in events)
    assert json.loads(text)[0]["pixels"] == SEEN


def test_what_needs_no_change_is_the_same_to_the_byte(address: str, model: Model) -> None:
    png = io.BytesIO()
    Image.fromarray(PIXELS).save(png, "PNG")
    url = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    body = b'{ "model":"echo",  "n": 1.00, "messages": %s}' % json.dumps(messages(url)).encode()
    assert httpx2.post(f"{address}/v1/chat/completions", content=body).status_code == 200
    assert model.bodies == [body]


def test_only_the_pictures_change(address: str, model: Model) -> None:
    body = {"model": "echo", "seed": 2**60, "text": "😀 ü", "messages": messages(URL)}
    assert httpx2.post(f"{address}/v1/chat/completions", content=json.dumps(body)).status_code == 200
    sent = json.loads(model.bodies[0])
    address_of = sent["messages"][0]["content"][1]["image_url"]
    assert address_of["url"].startswith("data:image/png;base64,")
    address_of["url"] = URL
    assert sent == body


def test_everything_else_passes(address: str, model: Model) -> None:
    with client(address) as api:
        assert [one.id for one in api.models.list()] == ["echo"]
    upload = b"\0\xff" * 1000
    url = f"{address}/v1/files/a%2Fb%20c?x=1&y=%2F&x=2"
    headers = [
        ("content-type", "application/x-odd"),
        ("x-client", "1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ]
    answer = httpx2.post(url, content=upload, headers=headers)
    assert (answer.content, answer.headers["content-type"]) == (upload, "application/x-odd")
    assert model.paths[-1] == "/v1/files/a%2Fb%20c?x=1&y=%2F&x=2"
    assert model.headers[-1]["x-client"] == "1"
    assert "x-hop" not in model.headers[-1]
    assert model.headers[-1]["content-length"] == "2000"
    assert httpx2.delete(f"{address}/v1/files/1").status_code == 200


def test_answers_are_not_unpacked(address: str) -> None:
    with httpx2.stream("GET", f"{address}/v1/gzip", headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert (gzip.decompress(raw), answer.status_code, answer.headers["x-model"]) == (b"unpacked", 201, "yes")
    assert len(answer.headers.get_list("date")) == 1


def test_addresses_of_the_upstream() -> None:
    for given, expected in (
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("http://host/v1/", "http://host/v1"),
        ("https://host/api/v1beta/openai", "https://host/api/v1beta/openai"),
    ):
        assert Upstream(given)._base == expected
    assert Upstream("https://user:secret@host:1/v1").name == "https://host:1"
    for wrong in ("host:8000", "ftp://host", "http://", "", "http://host/v1?key=1"):
        with pytest.raises(ValueError, match="is not an address"):
            Upstream(wrong)


# Who may


def test_tokens(upstream: str, model: Model) -> None:
    with gateway(upstream, token="s3cret") as address:
        assert httpx2.get(f"{address}/healthz").json()["status"] == "ok"
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"x-cotam-token": "s3cre"},
            {"authorization": "s3cret"},
        ):
            for path in ("/v1/models", "/metrics", "/v1/cotam/encode"):
                answer = httpx2.get(address + path, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert "a token is needed" in error_of(answer)
        with pytest.raises(openai.AuthenticationError), client(address) as api:
            api.models.list()
        assert not model.headers
        assert (
            httpx2.get(f"{address}/v1/models", headers={"authorization": "Bearer s3cret"}).status_code == 200
        )
        assert "authorization" not in model.headers[-1]  # the gateway's token is not for the model server
        both = {"authorization": "Bearer sk-model", "x-cotam-token": "s3cret"}
        assert httpx2.get(f"{address}/v1/models", headers=both).status_code == 200
        assert model.headers[-1]["authorization"] == "Bearer sk-model"
        assert "x-cotam-token" not in model.headers[-1]


def test_the_upstream_key_replaces_the_clients(upstream: str, model: Model) -> None:
    limits = Limits(10**6, 8, 8, 10**6, 1)
    app = application(Upstream(upstream, key="sk-server"), ForModel(10**6), limits)
    with running(app, **SERVER) as address, client(address) as api:
        api.models.list()
    assert model.headers[-1]["authorization"] == "Bearer sk-server"


def test_web_pages_from_elsewhere_are_refused(address: str) -> None:
    assert httpx2.get(f"{address}/v1/models", headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx2.get(f"{address}/v1/models", headers={"origin": "null"}).status_code == 403
    assert httpx2.get(f"{address}/v1/models", headers={"origin": address}).status_code == 200


def test_paths_lead_nowhere_else(address: str, model: Model) -> None:
    host, port = address.removeprefix("http://").split(":")
    for path in ("/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/a/%2E./b", "/other", "/v2/models"):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            assert raw.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n"
    assert not model.paths


# Limits


def test_bodies_are_limited(upstream: str, model: Model) -> None:
    with gateway(upstream, body=10_000) as address:
        for content in (bytes(10_001), (bytes(1000) for _ in range(11))):  # with its length, and in chunks
            answer = httpx2.post(f"{address}/v1/files", content=content)
            assert answer.status_code == 413
            assert error_of(answer) == "the body is larger than the limit of 10,000 bytes"
        assert httpx2.post(f"{address}/v1/files", content=bytes(10_000)).status_code == 200
    assert [len(body) for body in model.bodies] == [10_000]


def test_pictures_are_limited(upstream: str, model: Model) -> None:
    with gateway(upstream, pictures=2, pixels=90 * 130) as address:
        assert send(address, URL, URL).status_code == 200
        answer = send(address, URL, URL, URL)
        assert (answer.status_code, error_of(answer)) == (
            413,
            "3 pictures in a request, where 2 are the limit",
        )
    assert len(model.bodies) == 1


def test_hostile_streams_cost_little(address: str, model: Model) -> None:
    file = read_file(CODED)
    huge = write_file(replace(file, header=replace(file.header, width=60_000, height=60_000)))
    started = time.perf_counter()
    answer = send(address, "data:image/vnd.cotam;base64," + base64.b64encode(huge).decode())
    assert time.perf_counter() - started < 1
    assert answer.status_code == 400
    assert "the picture is 60000×60000: more than the limit of 1 MP" in error_of(answer)
    for data in (CODED[:40], CODED[:-1], b"", CODED[:30] + bytes(len(CODED) - 30)):
        answer = send(address, "data:image/vnd.cotam;base64," + base64.b64encode(data).decode())
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "messages[0].content[1].image_url"
    assert not model.bodies


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_refused(address: str, body: bytes) -> None:
    answer = httpx2.post(f"{address}/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert error_of(answer).startswith("the body is not JSON")


@pytest.mark.parametrize(
    "part",
    [
        {"image_url": "http://10.0.0.1/a"},  # vLLM takes it without a type
        {"type": "image_url", "uuid": "1", "image_url": "http://10.0.0.1/a"},
        {"type": "audio_url", "audio_url": {"url": "http://10.0.0.1/a"}},
        {"type": "image_url", "image_url": {"url": "http://10.0.0.1\\@fine.example/a"}},
    ],
)
def test_ways_around_the_refusal_of_addresses(upstream: str, model: Model, part: dict[str, Any]) -> None:
    with gateway(upstream, hosts={"fine.example"}) as address:
        body = {"model": "echo", "messages": [{"role": "user", "content": [part]}]}
        assert httpx2.post(f"{address}/v1/chat/completions", json=body).status_code == 400
    assert not model.bodies


def test_remote_pictures_are_refused_unless_allowed(upstream: str, model: Model) -> None:
    with gateway(upstream, hosts={"fine.example"}) as address:
        answer = send(address, "https://fine.example/a.png")
        assert json.loads(answer.json()["choices"][0]["message"]["content"]) == [
            {"url": "https://fine.example/a.png"}
        ]
        answer = send(address, "http://10.0.0.1/admin")
        assert (answer.status_code, len(model.bodies)) == (400, 1)
        assert "addresses of 10.0.0.1 are not let through" in error_of(answer)


def test_more_requests_than_allowed_are_told_to_wait(upstream: str, model: Model) -> None:
    with gateway(upstream, requests=1) as address:
        with httpx2.Client() as one:
            thread = threading.Thread(target=lambda: _give_up_after(one, address, model.waiting))
            thread.start()
            assert model.waiting.wait(10)
            answer = httpx2.get(f"{address}/v1/models")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert "1 requests are being worked on" in error_of(answer)
            assert httpx2.get(f"{address}/healthz").status_code == 200
            thread.join()
        assert model.given_up.wait(10)
        assert httpx2.get(f"{address}/v1/models").status_code == 200


def _give_up_after(one: httpx2.Client, address: str, event: threading.Event) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        one.post(f"{address}/v1/wait", content=b"x", timeout=httpx2.Timeout(10, read=0.7))


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/chat/completions", 404, "there is no such path: that of the API begins with /v1/"),
        ("GET", "/page/none.js", 404, "there is no such path"),
        ("GET", "/v1/cotam/encode", 405, "GET is not for this path"),
        ("POST", "/v1/cotam/endcode", 404, "there is no such path"),
    ],
)
def test_paths_that_are_not_there(
    address: str, model: Model, method: str, path: str, status: int, reason: str
) -> None:
    """Neither are those of Cotam passed on, with a picture, to a model server that does not know them."""
    answer = httpx2.request(method, address + path)
    assert answer.status_code == status
    assert error_of(answer).startswith(reason)
    assert not model.paths


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-cotam-quality": "101"}, "x-cotam-quality: '101' is not a whole number from 0 to 100"),
        ({"x-cotam-qualty": "40"}, "'x-cotam-qualty' is not known: there is x-cotam-quality, "),
        ({"x-cotam-quality": "4", "x-cotam-target-size": "9000"}, "x-cotam-quality and x-cotam-target-size"),
    ],
)
def test_wishes_that_are_not_understood(address: str, headers: dict[str, str], reason: str) -> None:
    answer = send(address, URL, headers=headers)
    assert answer.status_code == 400
    assert error_of(answer).startswith(reason)


# When things go wrong


def test_an_error_of_the_gateway_itself(upstream: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(parts: Any, job: Any) -> Any:
        raise RuntimeError("a mistake in the program")

    with running(application(Upstream(upstream), broken, Limits(10**6, 8, 8, 10**6, 1)), **SERVER) as address:
        answer = send(address, URL)
    assert answer.status_code == 500
    assert error_of(answer) == "an error of the gateway itself: its log says which"
    assert any("a mistake in the program" in str(record.exc_info) for record in caplog.records)


def test_a_client_that_goes_frees_its_work(address: str, model: Model) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{address}/v1/wait", content=b"x", timeout=httpx2.Timeout(10, read=0.3))
    assert model.given_up.wait(10)


def test_an_upstream_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with gateway(f"http://127.0.0.1:{port}") as address:
        answer = send(address, URL)
        assert answer.status_code == 502
        assert error_of(answer).startswith(f"the upstream http://127.0.0.1:{port} cannot be reached: ")
        with pytest.raises(openai.InternalServerError, match="cannot be reached"), client(address) as api:
            api.models.list()


def test_an_upstream_that_is_killed(model: Model) -> None:
    with running(model.app) as upstream, gateway(upstream) as address:
        assert send(address, URL).status_code == 200
        # The server below is gone when the block of the one above has been left: so a second gateway.
    with gateway(upstream) as address:
        assert send(address, URL).status_code == 502


def test_an_upstream_that_is_silent(upstream: str) -> None:
    with gateway(upstream, silence=0.3) as address:
        answer = httpx2.get(f"{address}/v1/silence")
        assert answer.status_code == 504
        assert "has said nothing for 0.3 s" in error_of(answer)


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(address: str) -> None:
    with httpx2.stream("GET", f"{address}/v1/break") as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"the first half"
        with pytest.raises(httpx2.RemoteProtocolError):
            next(chunks)


# What is told


def test_log_and_metrics(upstream: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cotam.gateway"), gateway(upstream) as address:
        sent = send(address, URL, headers={"x-request-id": "abc"})
        assert sent.headers["x-request-id"] == "abc"
        assert send(address, URL, headers={"x-request-id": "not fit"}).headers["x-request-id"] != "not fit"
        send(address, "https://example.com/private")
        text = httpx2.get(f"{address}/metrics").text
    lines = [record.fields for record in caplog.records if record.message == "request"]  # type: ignore[attr-defined]
    first = lines[0]
    assert (first["id"], first["method"], first["path"]) == ("abc", "POST", "/v1/chat/completions")
    assert (first["status"], first["pictures"], first["cached"]) == (200, {"cotam>png": 1}, 0)
    assert first["bytes_in"] == int(sent.headers["x-cotam-bytes"].split(",")[0]) < first["bytes_upstream"]
    assert first["picture_bytes"][0] == len(CODED)
    assert set(first["stages"]) == {"body", "pictures", "upstream"}
    assert lines[1]["cached"] == 1
    assert lines[2]["status"] == 400
    assert "private" not in str(lines)
    assert URL[40:60] not in str(lines)
    values = {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in text.splitlines()
        if not line.startswith("#")
    }
    assert values['cotam_requests_total{path="/v1/chat/completions",status="200"}'] == 2
    assert values['cotam_pictures_total{result="png",source="cotam"}'] == 2
    assert values['cotam_picture_bytes_total{side="in"}'] == 2 * len(CODED)
    assert values['cotam_errors_total{status="400"}'] == 1
    assert values['cotam_stage_seconds_count{stage="pictures"}'] == 2
    assert values["cotam_pictures_cached_total"] == 1
    assert values["cotam_requests_running"] == 0
