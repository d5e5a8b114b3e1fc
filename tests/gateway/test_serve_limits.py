"""``cotam serve`` where something is too much, hostile or broken."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import httpx2
import openai
import pytest
from gateway_client import CODED, URL, client, gateway, send, serving, until_running
from gateway_servers import Model, data_url, error_of, nobody, running

from cotam.format.header import read_file, write_file
from cotam.gateway.for_model import ForModel

# Limits


def test_bodies_are_limited(upstream: str, model: Model) -> None:
    with gateway(upstream, body=10_000) as address:
        for content in (bytes(10_001), (bytes(1000) for _ in range(11))):  # with its length, and in chunks
            answer = httpx2.post(f"{address}/v1/files", content=content)
            assert answer.status_code == 413
            assert error_of(answer) == "the body is larger than the limit of 10,000 bytes: raise --max-body"
        assert httpx2.post(f"{address}/v1/files", content=bytes(10_000)).status_code == 200
    assert [len(body) for body in model.bodies] == [10_000]


def test_images_are_limited(upstream: str, model: Model) -> None:
    with gateway(upstream, images=2, pixels=90 * 130) as address:
        assert send(address, URL, URL).status_code == 200
        answer = send(address, URL, URL, URL)
        assert (answer.status_code, error_of(answer)) == (
            413,
            "the request has 3 images and frames, more than the limit of 2: raise --max-images",
        )
    assert len(model.bodies) == 1


def test_trace_is_not_relayed(address: str, model: Model) -> None:
    assert httpx2.request("TRACE", f"{address}/v1/models").status_code == 405
    assert model.paths == []


def test_hostile_streams_cost_little(address: str, model: Model) -> None:
    file = read_file(CODED)
    huge = write_file(replace(file, header=replace(file.header, width=60_000, height=60_000)))
    started = time.process_time()  # of all threads, however busy the machine is
    answer = send(address, "data:image/vnd.cotam;base64," + base64.b64encode(huge).decode())
    assert time.process_time() - started < 2
    assert answer.status_code == 400
    assert "the image is 60000×60000, 3600.0 MP: more than the limit of 1 MP" in error_of(answer)
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
        {"type": "image_url", "Image_Url": {"URL": "http://10.0.0.1/a"}},  # Go ignores case
        {"type": "image", "source": {"type": "url", "data": "AAAA", "url": "http://10.0.0.1/a"}},
        {"fileData": {"file_uri": "https://fine.example/a", "fileUri": "http://10.0.0.1/a"}},
        {"type": "image_url", "uuid": "1", "image_url": "http://10.0.0.1/a"},
        {"type": "audio_url", "audio_url": {"url": "http://10.0.0.1/a"}},
        {"type": "image_url", "image_url": {"url": "http://10.0.0.1\\@fine.example/a"}},
        {"text": "vLLM's and SGLang's embeddings", "image": "http://10.0.0.1/a"},
        {"video": "http://10.0.0.1/a"},
        [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/a"}}],  # SGLang's documents to rank
    ],
)
def test_ways_around_the_refusal_of_addresses(upstream: str, model: Model, part: Any) -> None:
    with gateway(upstream, hosts={"fine.example"}) as address:
        body = {"model": "echo", "messages": [{"role": "user", "content": [part]}]}
        assert httpx2.post(f"{address}/v1/chat/completions", json=body).status_code == 400
    assert not model.bodies


@pytest.mark.parametrize("more", [b"x", b"{}"])
def test_what_only_another_parser_reads_is_refused(address: str, model: Model, more: bytes) -> None:
    """Decoders in Go stop behind the first value."""
    body = b'{"contents": [{"parts": [{"fileData": {"fileUri": "http://10.0.0.1/a"}}]}]}' + more
    answer = httpx2.post(f"{address}/v1beta/models/m:embedContent", content=body)
    assert (answer.status_code, model.bodies) == (400, [])
    assert "the body is not JSON" in answer.json()["error"]["message"]


def test_a_model_server_sees_the_key_that_was_looked_at(upstream: str, model: Model) -> None:
    """Of two equal keys Python takes the last, and some servers the first."""
    image = json.dumps(data_url("image/webp", b"webp"))
    part = f'{{"image_url": {{"url": "http://169.254.169.254/"}}, "image_url": {{"url": {image}}}}}'
    body = f'{{"model": "echo", "messages": [{{"role": "user", "content": [{part}]}}]}}'
    with gateway(upstream) as address:
        httpx2.post(f"{address}/v1/chat/completions", content=body)
    assert (b"169.254" in model.bodies[0], image.encode() in model.bodies[0]) == (False, True)


def test_remote_images_are_refused_unless_allowed(upstream: str, model: Model) -> None:
    with gateway(upstream, hosts={"fine.example"}) as address:
        answer = send(address, "https://fine.example/a.png")
        assert json.loads(answer.json()["choices"][0]["message"]["content"]) == [
            {"url": "https://fine.example/a.png"}
        ]
        answer = send(address, "http://10.0.0.1/admin")
        assert (answer.status_code, len(model.bodies)) == (400, 1)
        assert "addresses of 10.0.0.1 are not allowed" in error_of(answer)


def test_more_requests_than_allowed_are_told_to_wait(upstream: str, model: Model) -> None:
    with gateway(upstream, requests=1) as address:
        with waiting(address, model):
            answer = httpx2.get(f"{address}/v1/models")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert "1 requests are in progress, the limit (--max-requests)" in error_of(answer)
            assert httpx2.get(f"{address}/healthz").status_code == 200
        until_running(address, 0)
        assert httpx2.get(f"{address}/v1/models").status_code == 200


@contextmanager
def waiting(address: str, model: Model) -> Iterator[None]:
    """A client whose request has reached the model server, and which then goes without an answer."""
    url = httpx2.URL(address)
    with socket.create_connection((url.host, url.port or 0)) as raw:
        raw.sendall(b"POST /v1/wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
        assert model.waiting.wait(60)
        yield


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        (
            "GET",
            "/chat/completions",
            404,
            "no such path: '/chat/completions'. Paths of the API begin with /v1/",
        ),
        ("GET", "/page/none.js", 404, "no such path"),
        ("GET", "/v1/cotam/encode", 405, "GET is not allowed for this path"),
        ("POST", "/v1/cotam/endcode", 404, "no such path"),
    ],
)
def test_paths_that_are_not_there(
    address: str, model: Model, method: str, path: str, status: int, reason: str
) -> None:
    """Neither are those of Cotam passed on, with an image, to a model server that does not know them."""
    answer = httpx2.request(method, address + path)
    assert answer.status_code == status
    assert error_of(answer).startswith(reason)
    assert not model.paths


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/chat/completions", 404, "the base URL of OpenAI's clients ends in /v1"),
        ("/v1/cotam/about", 404, "no such path"),
        ("/v1/%2e%2e/chat", 404, "dot segments"),
        ("/v1/chat/completions", 413, "larger than the limit"),
    ],
)
def test_large_bodies_are_refused_readably(address: str, path: str, status: int, reason: str) -> None:
    """To a client that reads no answer before its body is sent, on a connection that is then closed."""
    with pytest.raises(HTTPError) as caught:
        urlopen(address + path, bytes(20_000_000))
    with caught.value as answer:
        assert (answer.code, reason in json.load(answer)["error"]["message"]) == (status, True)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-cotam-quality": "101"}, "x-cotam-quality: '101' is not a whole number from 0 to 100"),
        ({"x-cotam-qualty": "40"}, "'x-cotam-qualty' is unknown: use x-cotam-quality, "),
        ({"x-cotam-quality": "4", "x-cotam-target-size": "9000"}, "x-cotam-quality and x-cotam-target-size"),
    ],
)
def test_options_that_are_not_understood(address: str, headers: dict[str, str], reason: str) -> None:
    answer = send(address, URL, headers=headers)
    assert answer.status_code == 400
    assert error_of(answer).startswith(reason)


# When things go wrong


def test_an_error_of_the_gateway_itself(upstream: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ForModel):
        def __call__(self, parts: Any, job: Any) -> Any:
            raise RuntimeError("a mistake in the program")

    with serving(upstream, Broken(10**6)) as address:
        answer = send(address, URL)
    assert answer.status_code == 500
    assert error_of(answer) == "internal error of the gateway: see its log"
    assert any("a mistake in the program" in str(record.exc_info) for record in caplog.records)


def test_an_error_about_a_key_that_is_no_valid_unicode(address: str) -> None:
    body = json.dumps({"messages": [], "\ud800": URL}).encode()
    answer = httpx2.post(f"{address}/v1/chat/completions", content=body)
    assert (answer.status_code, error_of(answer)) == (
        400,
        "\ud800: a .cotam file is not decoded at this place",
    )


def test_a_client_that_goes_frees_its_work(address: str, model: Model) -> None:
    with waiting(address, model):
        assert not model.given_up.wait(0.1)
    assert model.given_up.wait(60)


def test_cotam_is_found_anywhere_in_a_large_upload(upstream: str, model: Model) -> None:
    with gateway(upstream, body=3_000_000) as address:
        for before in ((1 << 20) - 10, 1 << 20, 2_000_000):
            upload = bytes(before) + b"DATA:" + URL.removeprefix("data:").encode()
            assert httpx2.post(f"{address}/v1/files", content=upload).status_code == 400
        assert httpx2.post(f"{address}/v1/files", content=bytes(2_500_000)).content == bytes(2_500_000)
    assert len(model.bodies) == 1


def test_an_upstream_that_is_not_there() -> None:
    with nobody() as (upstream, _), gateway(upstream) as address:
        answer = send(address, URL)
        assert answer.status_code == 502
        assert error_of(answer).startswith(f"the upstream {upstream} cannot be reached: ")
        with pytest.raises(openai.InternalServerError, match="cannot be reached"), client(address) as api:
            api.models.list()


def test_an_upstream_that_is_killed(model: Model) -> None:
    with ExitStack() as its, ExitStack() as upstream:
        address = its.enter_context(gateway(upstream.enter_context(running(model.app))))
        assert send(address, URL).status_code == 200
        upstream.close()
        assert send(address, URL).status_code == 502


def test_an_upstream_that_is_silent(upstream: str) -> None:
    with gateway(upstream, silence=0.3) as address:
        answer = httpx2.get(f"{address}/v1/silence")
        assert answer.status_code == 504
        assert "has sent nothing for 0.3 s" in error_of(answer)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, str]]:
    """The addresses of a server that sends these bytes to one request, and of a gateway in front of it."""

    def send() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        pool.submit(send)
        upstream = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with gateway(upstream) as address:
            yield upstream, address


def test_a_status_that_http_does_not_have() -> None:
    with answering(b"HTTP/1.1 612 Gone\r\nContent-Length: 0\r\n\r\n") as (upstream, address):
        refused = httpx2.get(f"{address}/v1/models")
    assert refused.status_code == 502
    assert error_of(refused) == f"the upstream {upstream} answers with the status 612"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.9\r\n"])
def test_an_upstream_that_does_not_speak_http(answer: bytes) -> None:
    with answering(answer) as (upstream, address):
        refused = httpx2.get(f"{address}/v1/models")
    assert refused.status_code == 502
    assert error_of(refused).startswith(f"the upstream {upstream} gives no valid answer: ")


def test_a_length_does_not_count_beside_chunks() -> None:
    """RFC 9112, section 6.3; servers that send both are found in the wild."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with answering(head + b"2\r\nok\r\n0\r\n\r\n") as (_, address):
        assert httpx2.get(f"{address}/v1/models").text == "ok"


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(address: str) -> None:
    with httpx2.stream("GET", f"{address}/v1/break") as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"the first half"
        with pytest.raises(httpx2.RemoteProtocolError):
            next(chunks)
