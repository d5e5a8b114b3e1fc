"""HTTP as clients and upstreams really speak it: headers, encodings, paths, redirects and proxies."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from http.client import HTTPConnection
from typing import Any

import httpx2
import pytest
from gateway_client import CODED, URL, gateway, messages, serving
from gateway_servers import Model, error_of, running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cotam.gateway.bodies import decompress, zstd
from cotam.gateway.for_api import ForApi
from cotam.gateway.paths import api_of, escape, model_in, normal_path
from cotam.gateway.refusal import RefusedError
from cotam.gateway.upstream import Upstream, is_loopback, proxy_for

BODY = json.dumps({"model": "echo", "messages": messages(URL)}).encode()

# Headers


def raw_answer(address: str, request: bytes) -> bytes:
    """The answer to a request written to the byte, which closes the connection."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw, raw.makefile("rb") as answer:
        raw.sendall(request)
        return answer.read()


def raw_request(address: str, *lines: bytes, body: bytes = b"") -> list[tuple[bytes, bytes]]:
    """The headers that the upstream was sent, of a request written to the byte."""
    lines = (b"Host: localhost", b"Content-Length: %d" % len(body), *lines, b"Connection: close\r\n\r\n")
    answer = raw_answer(address, b"POST /v1/echo HTTP/1.1\r\n" + b"\r\n".join(lines) + body)
    return [tuple(row) for row in json.loads(answer.rpartition(b"\r\n\r\n")[2])]


@pytest.fixture
def echo() -> Any:
    """A server that answers with the headers it was sent, as latin-1."""

    async def answer(request: Request) -> Response:
        rows = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.scope["headers"]]
        response = Response(json.dumps(rows), media_type="application/json")
        response.raw_headers.append((b"x-model", "é".encode()))
        return response

    with running(Starlette(routes=[Route("/v1/echo", answer, methods=["GET", "POST"])])) as address:
        yield address


@pytest.mark.parametrize("value", ["José".encode(), "José".encode("latin-1"), "値".encode(), b"plain", b""])
def test_bytes_of_headers_pass_as_they_are(echo: str, value: bytes) -> None:
    with gateway(echo) as address:
        given = raw_request(address, b"X-User-Name: " + value, b"X-Twice: 1", b"X-Twice: 2")
    assert ["x-user-name", value.decode("latin-1")] in [list(row) for row in given]
    assert [row[1] for row in given if row[0] == "x-twice"] == ["1", "2"]


def test_bytes_of_headers_of_answers_pass_too(echo: str) -> None:
    with gateway(echo) as address:
        answer = httpx2.get(f"{address}/v1/echo")
    assert dict(answer.headers.raw)[b"x-model"] == "é".encode()


def test_clients_close_idle_connections_first(address: str) -> None:
    connection = HTTPConnection(address.removeprefix("http://"))
    for seconds in (0, 5.5):  # longer than OpenAI's client keeps them
        time.sleep(seconds)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    connection.close()


def test_cookies_are_not_kept_for_the_next_client() -> None:
    async def answer(request: Request) -> Response:
        return Response(request.headers.get("cookie", "none"), headers={"Set-Cookie": "session=first"})

    with running(Starlette(routes=[Route("/v1/models", answer)])) as upstream, gateway(upstream) as address:
        found = httpx2.get(f"{address}/v1/models")
        assert (found.text, found.headers["set-cookie"]) == ("none", "session=first")
        assert httpx2.get(f"{address}/v1/models").text == "none"
        assert httpx2.get(f"{address}/v1/models", headers={"cookie": "a=1"}).text == "a=1"


def test_an_address_that_is_too_long(echo: str) -> None:
    """For httpx, in the client of this test too, which therefore is none."""
    with gateway(echo) as address:
        target = b"/v1/" + b"a" * 65_600
        request = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        head, _, body = raw_answer(address, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 414 ")
    assert "path and query cannot be sent on" in json.loads(body)["error"]["message"]


def test_an_answer_has_one_request_id(model: Model) -> None:
    async def answer(request: Request) -> Response:
        return Response(headers={"X-Request-ID": "req_upstream"})

    with running(Starlette(routes=[Route("/v1/models", answer)])) as upstream, gateway(upstream) as address:
        found = httpx2.get(f"{address}/v1/models", headers={"x-request-id": "mine"})
        assert found.headers.get_list("x-request-id") == ["req_upstream"]
        found = httpx2.get(f"{address}/v1/none", headers={"x-request-id": "mine"})
        assert found.headers.get_list("x-request-id") == ["mine"]


# Encodings


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY[:99]) + gzip.compress(BODY[99:])),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("zstd", zstd.compress(BODY)),
        ("identity", BODY),
    ],
)
def test_encoded_bodies_are_decoded(upstream: str, model: Model, encoding: str, body: bytes) -> None:
    with gateway(upstream) as address:
        headers = {"content-encoding": encoding, "content-type": "application/json"}
        answer = httpx2.post(f"{address}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "content-encoding" not in model.headers[-1]
    assert b"image/png" in model.bodies[-1]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files", "/v1/cotam/decode"])
def test_encodings_that_are_not_known_are_named(upstream: str, model: Model, path: str) -> None:
    with gateway(upstream) as address:
        answer = httpx2.post(address + path, content=b"...", headers={"content-encoding": "br"})
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert error_of(answer).startswith(
        "Content-Encoding 'br' is not supported: use one of gzip, deflate, zstd"
    )
    assert not model.bodies


def test_an_image_alone_may_be_encoded_too(upstream: str) -> None:
    with gateway(upstream) as address:
        headers = {"content-encoding": "gzip"}
        answer = httpx2.post(f"{address}/v1/cotam/decode", content=gzip.compress(CODED), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


def test_large_windows_of_zstd_are_refused() -> None:
    for window, whole in ((23, True), (24, False)):
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
        data = packer.compress(bytes(1 << 24)) + packer.flush()
        if whole:
            assert len(decompress(data, "zstd", 1 << 24)) == 1 << 24
        else:
            with pytest.raises(RefusedError, match="is not valid zstd"):
                decompress(data, "zstd", 1 << 24)


def test_bytes_of_queries_are_escaped() -> None:
    assert escape("a=é&b=%C3%A9&c=%2F".encode()) == "a=%C3%A9&b=%C3%A9&c=%2F"


def test_number_signs_are_no_fragments(address: str, model: Model) -> None:
    """A client that follows the standard does not send them."""
    request = b"GET /v1/a%%23b%s?c=%%23%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for raw in (b"", b"#d"):
        assert raw_answer(address, request % (raw, raw)).startswith(b"HTTP/1.1 200 ")
    assert model.paths == ["/v1/a%23b?c=%23", "/v1/a%23b%23d?c=%23%23d"]


def test_decoded_bodies_are_limited_and_whole() -> None:
    bomb = bytes(100_000)
    for encoding, body in (
        ("gzip", gzip.compress(bomb)),
        ("deflate", zlib.compress(bomb)),
        ("zstd", zstd.compress(bomb)),
    ):
        assert decompress(body, encoding, len(bomb)) == bomb
        with pytest.raises(RefusedError, match="larger than 99,999 bytes when it is decoded") as caught:
            decompress(body, encoding, len(bomb) - 1)
        assert caught.value.status == 413
        with pytest.raises(RefusedError, match="is not valid") as caught:
            decompress(body[:-5], encoding, len(bomb))
        assert caught.value.status == 400
        with pytest.raises(RefusedError, match="is not valid"):
            decompress(body + b"more", encoding, len(bomb))
    with pytest.raises(RefusedError, match="'gzip, gzip' is not supported"):
        decompress(gzip.compress(gzip.compress(b"")), "gzip, gzip", 9)


# Paths


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/v1/chat/completions", "/v1/chat/completions"),
        (b"/v1/chat/completions/", "/v1/chat/completions"),
        (b"//v1///chat//completions//", "/v1/chat/completions"),
        (b"/v1/ch%61t/completions", "/v1/chat/completions"),
        (b"/%76%31/models%2f", "/v1/models%2F"),
        (b"/v1/a%2fb%20c?x=/../", "/v1/a%2Fb%20c"),
        (b"/v1/mod#els", "/v1/mod%23els"),
        (b"/v1/mod%23els?a=b#c", "/v1/mod%23els"),
        (b"/", "/"),
        (b"//", "/"),
        (b"/v1/a..b/...", "/v1/a..b/..."),
        (b"/v1/../metrics", None),
        (b"/v1/%2e%2E/metrics", None),
        (b"/v1/./models", None),
        (b"/v1/models/..", None),
        (b"/v1/%zz", None),
        (b"http://host/v1/models", None),
        (b"*", None),
        (b"", None),
    ],
)
def test_paths_have_one_form(raw: bytes, expected: str | None) -> None:
    assert normal_path(raw) == expected
    if expected:
        assert normal_path(expected.encode()) == expected


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost:1/v1/models", "evil.example", 200),
        ("HTTPS://localhost/v1/models?limit=1", "localhost", 200),
        ("http://localhost", "localhost", 404),
        ("http://evil.example/v1/models", "localhost", 403),
        ("http:///v1/models", "localhost", 403),
        ("ftp://localhost/v1/models", "localhost", 404),
    ],
)
def test_targets_in_absolute_form(upstream: str, target: str, host: str, status: int) -> None:
    """RFC 9112, section 3.2.2: they are accepted, and their host replaces that of the header."""
    with serving(upstream, ForApi("jpeg", None, None, None, 9), local=True) as address:
        request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert raw_answer(address, request.encode()).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "//v1//chat/completions", "/%761/chat/complet%69ons"]
)
def test_other_forms_of_a_path_are_no_way_around(upstream: str, model: Model, path: str) -> None:
    away = {"model": "m", "messages": messages("http://169.254.169.254/latest")}
    with gateway(upstream) as address:
        assert httpx2.post(address + path, content=BODY).status_code == 200
        assert b"image/png" in model.bodies[-1]
        assert httpx2.post(address + path, json=away).status_code == 400
    assert model.paths == ["/v1/chat/completions?"]


def test_the_page_and_its_neighbours_have_one_form_too(upstream: str) -> None:
    with gateway(upstream, tokens=["s3cret"]) as address:
        for path, status in (("//", 200), ("/healthz/", 200), ("//metrics", 401), ("/v1/models/", 401)):
            assert httpx2.get(address + path).status_code == status


def test_apis_and_models_of_paths() -> None:
    call = "/v1beta/models/gemini-3-pro%20x:generateContent"
    assert (api_of(call), model_in(call)) == ("gemini", "gemini-3-pro x")
    assert api_of("/v1/models/g:countTokens") == "gemini"
    assert (api_of("/v1/messages/count_tokens"), model_in("/v1/messages")) == ("anthropic", None)
    assert api_of("/v1/threads/t/messages") == "openai"


# Redirects


@pytest.mark.parametrize(
    ("base", "location", "asked", "expected"),
    [
        ("", "/v1/other", "/v1/chat", "/v1/other"),
        ("", "other?x=1", "/v1/chat/a", "/v1/chat/other?x=1"),
        ("/api/v1", "/api/v1/other/", "/v1/chat", "/v1/other"),
        ("", "{upstream}/v1/other", "/v1/chat", "/v1/other"),
        ("", "{upstream}/v1beta/models/g:generateContent", "/v1/chat", "/v1beta/models/g:generateContent"),
    ],
)
def test_redirects_lead_through_the_gateway(base: str, location: str, asked: str, expected: str) -> None:
    async def answer(request: Request) -> Response:
        upstream = f"http://{request.headers['host']}"
        return Response(status_code=307, headers={"Location": location.format(upstream=upstream)})

    with (
        running(Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])) as upstream,
        gateway(upstream + base) as address,
    ):
        found = httpx2.post(address + asked, json={"messages": []})
    assert (found.status_code, found.headers["location"]) == (307, expected)


def test_redirects_elsewhere_take_no_body_past_the_gateway() -> None:
    async def answer(request: Request) -> Response:
        status = int(request.query_params.get("status", 307))
        return Response(status_code=status, headers={"Location": "https://user:pw@other.example/v1/chat"})

    with (
        running(Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])) as upstream,
        gateway(upstream) as address,
    ):
        found = httpx2.post(f"{address}/v1/chat/completions", json={"messages": []})
        assert found.status_code == 502
        assert "redirects to https://other.example/v1/chat: give that server's address" in error_of(found)
        assert httpx2.get(f"{address}/v1/files/1/content").status_code == 307
        for status in (201, 303):  # followed without the body, if at all
            found = httpx2.post(f"{address}/v1/files?status={status}", content=b"x")
            assert (found.status_code, "other.example" in found.headers["location"]) == (status, True)


# Proxies


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "a.localhost", "LOCALHOST."]
)
def test_this_machine_is_not_reached_through_a_proxy(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    environment.setenv("ALL_PROXY", "socks://127.0.0.1:7890/")
    assert proxy_for(f"http://{host}:8000/v1") is None
    assert is_loopback(host)
    Upstream(f"http://{host}:8000/v1")


def test_a_proxy_that_does_not_answer_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    with gateway("http://10.1.2.3:8000/v1") as address, httpx2.Client(trust_env=False) as client:
        message = error_of(client.get(f"{address}/v1/models"))
    way = "the upstream http://10.1.2.3:8000 cannot be reached through the proxy http://127.0.0.1:9: "
    assert message.startswith(way)


def test_an_upstream_on_loopback_is_reached_without_the_proxy(
    environment: pytest.MonkeyPatch, upstream: str, model: Model
) -> None:
    environment.setenv("http_proxy", "http://127.0.0.1:9")
    with gateway(upstream) as address, httpx2.Client(trust_env=False) as client:
        assert client.get(f"{address}/v1/models").status_code == 200


def test_the_proxy_of_the_environment_is_used(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALL_PROXY", "http://all:1")
    assert proxy_for("https://api.example.com/v1") == "http://all:1"
    environment.setenv("https_proxy", "one:2")
    assert proxy_for("https://api.example.com/v1") == "http://one:2"
    assert proxy_for("http://api.example.com/v1") == "http://all:1"
    environment.setenv("NO_PROXY", "example.com, 10.0.0.0/8")
    assert proxy_for("https://api.example.com/v1") is None
    assert proxy_for("https://10.1.2.3/v1") is None
    assert proxy_for("https://11.1.2.3/v1") == "http://one:2"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (
            "ALL_PROXY",
            "socks://me:secret@127.0.0.1:7890/",
            r"ALL_PROXY cannot be used: .*socks://me:\[secure\]@127.0.0.1:7890",
        ),
        ("all_proxy", "socks5://127.0.0.1:7890", "ALL_PROXY cannot be used: Using SOCKS proxy"),
        ("HTTPS_PROXY", "http://host:port", "HTTPS_PROXY cannot be used: Invalid port"),
        ("https_proxy", "http://", "HTTPS_PROXY cannot be used: it names no host"),
        ("SSL_CERT_FILE", "/nothing.pem", "a file that SSL_CERT_FILE.* names cannot be used: .*No such file"),
    ],
)
def test_what_cannot_be_used_of_the_environment_is_named(
    environment: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValueError, match=reason) as caught:
        Upstream("https://api.example.com/v1")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
