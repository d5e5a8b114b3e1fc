"""A gateway for tests, a coded image, and clients that send it."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
from gateway_servers import running
from synthetic import picture

import cotam
from cotam.gateway.app import application
from cotam.gateway.converter import Converter
from cotam.gateway.for_model import ForModel
from cotam.gateway.limits import Limits
from cotam.gateway.server import SERVER
from cotam.gateway.upstream import Upstream

LIMITS = Limits(body=40_000_000, requests=8, images=64, pixels=20_000_000, jobs=2)
PIXELS = picture(90, 130)
CODED = cotam.encode(PIXELS)
URL = "data:image/vnd.cotam;base64," + base64.b64encode(CODED).decode()
SEEN = hashlib.sha256(cotam.decode(CODED).tobytes()).hexdigest()


@contextmanager
def serving(
    upstream: str,
    converter: Converter,
    limits: Limits = LIMITS,
    *,
    key: str | None = None,
    token: str | None = None,
    **settings: Any,
) -> Iterator[str]:
    """The address of a gateway or an edge with this converter."""
    app = application(Upstream(upstream, key=key, token=token), converter, limits, **settings)
    with running(app, **SERVER) as address:
        yield address


@contextmanager
def gateway(
    upstream: str,
    *,
    tokens: Sequence[str] = (),
    hosts: set[str] = frozenset(),
    silence: float = 300,
    **limits: int,
) -> Iterator[str]:
    """The address of a gateway."""
    given = {"body": 10**6, "requests": 8, "images": 8, "pixels": 10**6, "jobs": 2} | limits
    converter = ForModel(given["pixels"], frozenset(hosts))
    to = Upstream(upstream, silence=silence, key=None)
    with running(application(to, converter, Limits(**given), tokens=tokens, page=True), **SERVER) as address:
        yield address


def client(address: str, key: str = "sk-client") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def messages(*urls: str) -> Any:
    content: list[Any] = [{"type": "text", "text": "Which pictures?"}]
    content += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": content}]


def send(address: str, *urls: str, **options: Any) -> httpx2.Response:
    body = {"model": "echo", "messages": messages(*urls)}
    return httpx2.post(f"{address}/v1/chat/completions", json=body, **options)


def until_running(address: str, count: int) -> str:
    """Wait until this many requests are in progress; that for the metrics does not count. Return the metrics.

    A client may have its answer before the request is counted as done.
    """
    deadline = time.monotonic() + 60
    while f"cotam_requests_running {count}.0" not in (text := httpx2.get(f"{address}/metrics").text):
        assert time.monotonic() < deadline
    return text
