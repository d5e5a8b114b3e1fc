"""``cotam serve`` between a real client and a real server on loopback."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import logging
import socket
import struct
import tracemalloc

import httpx2
import openai
import pytest
from gateway_client import CODED, PIXELS, SEEN, URL, client, gateway, messages, send, until_running
from gateway_servers import Model, error_of
from PIL import Image

from cotam.gateway.refusal import RefusedError
from cotam.gateway.upstream import Upstream

# What reaches the model


def test_a_model_gets_png_of_the_decoded_image(address: str) -> None:
    with client(address) as api:
        answer = api.chat.completions.create(model="echo", messages=messages(URL, URL))
    rows = json.loads(answer.choices[0].message.content or "")
    assert [(row["type"], row["format"], row["size"], row["pixels"]) for row in rows] == [
        ("image/png", "PNG", [130, 90], SEEN)
    ] * 2


def test_streams_are_relayed_as_they_come(address: str, model: Model, upstream: str) -> None:
    body = {"model": "echo", "stream": True, "messages": messages(URL)}
    model.goes_on.clear()
    with httpx2.stream("POST", f"{address}/v1/chat/completions", json=body) as answer:
        chunks = answer.iter_raw()
        relayed = next(chunks)
        assert b"[DONE]" not in relayed
        model.goes_on.set()
        relayed += b"".join(chunks)
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


def test_only_the_images_change(address: str, model: Model) -> None:
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


def test_connections_that_wait_for_an_answer_are_probed(upstream: str) -> None:
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE")  # noqa: B009 (macOS)

    async def option(level: int, name: int) -> int:
        to = Upstream(upstream)
        async with to.client:
            answer = await to.open("GET", to.url("/v1/models"), [], b"")
            raw: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
            try:
                return raw.getsockopt(level, name)
            finally:
                await answer.aclose()

    assert asyncio.run(option(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    assert asyncio.run(option(socket.IPPROTO_TCP, idle)) == 60


def test_a_body_is_not_copied_for_an_upstream_that_reads_slowly() -> None:
    body = bytes(40_000_000)

    async def taken() -> int:
        async def read_little(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1_000_000)
            # Reset the connection: what the client sees does not depend on what has arrived by then.
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async with await asyncio.start_server(read_little, "127.0.0.1", 0) as server:
            to = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            async with to.client:
                tracemalloc.start()
                with pytest.raises(RefusedError, match="without an answer to the 40,000,000 bytes"):
                    await to.open("POST", to.url("/v1/files"), [], body)
                return tracemalloc.get_traced_memory()[1]

    try:
        assert asyncio.run(taken()) < 10_000_000
    finally:
        tracemalloc.stop()


# Who may


def test_tokens(upstream: str, model: Model) -> None:
    with gateway(upstream, tokens=["s3cret"]) as address:
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
                assert "token" in error_of(answer)
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


def test_paths_lead_nowhere_else(address: str, model: Model) -> None:
    host, port = address.removeprefix("http://").split(":")
    for path in ("/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/a/%2E./b", "/other", "/v2/models"):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            assert raw.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n"
    assert not model.paths


# What is told


def test_log_and_metrics(upstream: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cotam.gateway"), gateway(upstream) as address:
        sent = send(address, URL, headers={"x-request-id": "abc"})
        assert sent.headers["x-request-id"] == "abc"
        assert send(address, URL, headers={"x-request-id": "not fit"}).headers["x-request-id"] != "not fit"
        send(address, "https://example.com/private")
        text = until_running(address, 0)
    lines = [record.fields for record in caplog.records if record.message == "request"]  # type: ignore[attr-defined]
    first = lines[0]
    assert (first["id"], first["method"], first["path"]) == ("abc", "POST", "/v1/chat/completions")
    assert (first["status"], first["images"], first["cached"]) == (200, {"cotam>png": 1}, 0)
    assert first["bytes_in"] == int(sent.headers["x-cotam-bytes"].split(",")[0]) < first["bytes_upstream"]
    assert first["image_bytes"][0] == len(CODED)
    assert set(first["stages"]) == {"body", "images", "upstream"}
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
    assert values['cotam_images_total{result="png",source="cotam"}'] == 2
    assert values['cotam_image_bytes_total{side="in"}'] == 2 * len(CODED)
    assert values['cotam_requests_total{path="/v1/chat/completions",status="400"}'] == 1
    assert values['cotam_stage_seconds_count{stage="images"}'] == 2
    assert values["cotam_images_cached_total"] == 1
    assert values["cotam_requests_running"] == 0
