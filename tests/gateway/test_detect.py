"""Formats of images that servers of open models open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from gateway_client import serving
from gateway_parts import saved
from gateway_servers import data_url, running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from synthetic import picture

from cotam.gateway import upstream_kind
from cotam.gateway.converter import Converter
from cotam.gateway.for_api import ForApi
from cotam.gateway.for_model import ForModel

PIXELS = picture(60, 80)


class Server:
    """A server of open models that keeps what it was sent, and how often it was asked for its models."""

    def __init__(self, owner: str, header: str = "uvicorn", models: int = 200) -> None:
        self.asked, self.types, self.models = 0, [""], models
        rows = {"data": [{"id": "m", "owned_by": owner}]}

        async def list_models(request: Request) -> Response:
            self.asked += 1
            return JSONResponse(rows, self.models, headers={"server": header})

        async def chat(request: Request) -> Response:
            (message,) = (await request.json())["messages"]
            self.types = [part["image_url"]["url"].partition(";")[0] for part in message["content"]]
            return JSONResponse({})

        routes = [
            Route("/v1/models", list_models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)


@contextmanager
def in_front_of(server: Server, converter: Converter) -> Iterator[str]:
    with (
        running(server.app, server_header=False) as upstream,
        serving(upstream, converter, detect=True) as address,
    ):
        yield address


def send(address: str, *forms: str) -> int:
    urls = [data_url(f"image/{form.lower()}", saved(PIXELS, form)) for form in forms]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body: Any = {"model": "m", "messages": [{"role": "user", "content": content}]}
    return httpx2.post(f"{address}/v1/chat/completions", json=body).status_code


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Server("llamacpp"), "png"),
        (Server("me", "llama.cpp"), "png"),
        (Server("vllm"), "webp"),
        (Server("somebody"), "webp"),
        (Server("library"), "webp"),
        (Server("llamacpp", models=404), "webp"),
    ],
)
def test_a_gateway_turns_formats_that_its_server_does_not_open_into_png(
    server: Server, expected: str
) -> None:
    with in_front_of(server, ForModel(10**7)) as address:
        for _ in range(2):
            assert send(address, "WEBP", "JPEG") == 200
    assert server.types == [f"data:image/{expected}", "data:image/jpeg"]
    assert server.asked == 1


def test_an_edge_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("llamacpp")
    with in_front_of(server, ForApi("webp", "auto", None, None, 10**7)) as address:
        assert send(address, "WEBP", "BMP", "AVIF") == 200
    assert server.types == ["data:image/jpeg", "data:image/bmp", "data:image/jpeg"]


def test_a_server_that_is_not_there_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_kind, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(upstream_kind, "SECONDS", 0)
    server = Server("llamacpp")
    with in_front_of(server, ForModel(10**7)) as address:
        assert send(address, "WEBP") == 200
        assert server.types == ["data:image/webp"]
        monkeypatch.setattr(upstream_kind, "SECONDS", 300)
        assert send(address, "WEBP") == 200
    assert server.types == ["data:image/png"]


def test_a_server_that_a_proxy_does_not_reach_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_kind, "AGAIN_SECONDS", 0)
    server = Server("llamacpp", "nginx", models=502)
    with in_front_of(server, ForModel(10**7)) as address:
        assert send(address, "WEBP") == 200
        assert server.types == ["data:image/webp"]
        server.models = 200
        assert send(address, "WEBP") == 200
    assert server.types == ["data:image/png"]


def test_requests_without_images_do_not_wait_for_the_list_of_models() -> None:
    server = Server("llamacpp")
    with in_front_of(server, ForModel(10**7)) as address:
        assert send(address) == 200
    assert server.asked == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[]", b"{}", b'{"data": []}', b'{"data": [{"owned_by": 3}]}', b"[1]"],
)
def test_odd_lists_of_models(body: bytes) -> None:
    assert upstream_kind._name({}, body) is None
