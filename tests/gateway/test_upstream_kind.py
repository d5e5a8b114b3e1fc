"""An edge that finds out what stands behind it."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from gateway_client import LIMITS, gateway, serving
from gateway_servers import Model, error_of, jpeg, messages, nobody, running
from starlette.types import ASGIApp
from synthetic import picture

from cotam.gateway import upstream_kind
from cotam.gateway.app import application
from cotam.gateway.for_model import ForModel
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.send_once import Sender
from cotam.gateway.server import SERVER
from cotam.gateway.to_cotam import ToCotam
from cotam.gateway.upstream import Upstream

BODY = {"model": "echo", "messages": messages(jpeg(picture(100, 150)))}


@contextmanager
def edge(to: str, token: str | None = None, sender: Sender | None = None) -> Iterator[str]:
    converter = ToCotam(RequestOptions(), 10**7)
    with serving(to, converter, token=token, sender=sender, to_gateway=True) as address:
        yield address


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "cotam.gateway")
    monkeypatch.setattr(upstream_kind, "AGAIN_SECONDS", 0)
    return caplog


def found(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What the edge said about its gateway, and what it saw."""
    return [
        (record.message, record.fields["found"])  # type: ignore[attr-defined]
        for record in log.records
        if "gateway" in record.message
    ]


def ask(address: str) -> httpx2.Response:
    return httpx2.post(f"{address}/v1/chat/completions", json=BODY)


def test_a_gateway_says_that_it_is_one(upstream: str, log: Any) -> None:
    with gateway(upstream, tokens=("s3cret",)) as cloud, edge(cloud, "s3cret") as address:
        answer = ask(address)
        assert answer.status_code == 200
        assert int(answer.headers["x-cotam-bytes"].split(",")[1]) < len(str(BODY)) / 2
    ((message, seen),) = found(log)
    assert message == "the gateway answers"
    assert '"server":"cotam serve"' in seen


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "needs a token: give this edge --token or COTAM_TOKEN"),
        ("wrong", "refuses the token of this edge: correct its --token or COTAM_TOKEN"),
    ],
)
def test_whose_token_is_wrong_is_said(
    upstream: str, model: Model, log: Any, token: str | None, reason: str
) -> None:
    with gateway(upstream, tokens=("s3cret",)) as cloud, edge(cloud, token) as address:
        answer = ask(address)
        assert answer.status_code == 401
        assert error_of(answer) == f"the gateway {cloud} {reason}"
    assert found(log)[0] == ("the gateway refuses this edge", f"it {reason}")
    assert not model.bodies


def test_a_refusal_of_the_model_server_is_not_taken_for_one_of_the_gateway(log: Any) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def refuse(request: Request) -> Response:
        headers = {"x-cotam-error": "token_wrong"}  # as of a gateway behind the gateway
        return JSONResponse({"error": {"message": "wrong key"}}, 401, headers)

    routes = [Route("/v1/chat/completions", refuse, methods=["POST"])]
    with running(Starlette(routes=routes)) as upstream, gateway(upstream) as cloud, edge(cloud) as address:
        answer = ask(address)
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "wrong key")


def test_what_is_no_gateway_gets_images_as_they_are(upstream: str, model: Model, log: Any) -> None:
    with edge(upstream, sender=Sender()) as address:
        assert ask(address).status_code == 200
        packed = gzip.compress(json.dumps(BODY).encode())
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        answer = httpx2.post(f"{address}/v1/chat/completions", content=packed, headers=headers)
        assert answer.status_code == 200
    assert [b"image/jpeg" in body for body in model.bodies if body] == [True, True]
    assert ("no Cotam gateway here: images pass as they are", "status 200 of uvicorn at /v1/cotam") in found(
        log
    )


def test_a_gateway_that_comes_later_is_found(model: Model, log: Any) -> None:
    with nobody() as (cloud, listener), edge(cloud) as address:
        assert ask(address).status_code == 502
        with running(model.app) as upstream, running(_gateway(upstream), listener, **SERVER):
            deadline = time.monotonic() + 120
            while len(found(log)) < 2:  # each request looks for the gateway, and may be faster than it
                ask(address)
                assert time.monotonic() < deadline
            assert ask(address).status_code == 200
    assert [message for message, _ in found(log)] == ["the gateway cannot be reached", "the gateway answers"]


def _gateway(upstream: str) -> ASGIApp:
    return application(Upstream(upstream), ForModel(10**7), LIMITS, page=True)
