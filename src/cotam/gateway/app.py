"""The applications ``serve`` and ``edge``: their routes, and what these are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

import cotam
from cotam.gateway import compare, plain
from cotam.gateway.bodies import Bodies
from cotam.gateway.detect import Detector
from cotam.gateway.exchange import Metrics
from cotam.gateway.guard import Guard
from cotam.gateway.jobs import Converter
from cotam.gateway.limits import Limits
from cotam.gateway.once import MissingError, Receiver, Sender, missing_answer
from cotam.gateway.peer import ABOUT, SERVER, Peer
from cotam.gateway.refusal import RefusedError, refusal
from cotam.gateway.relay import Relay
from cotam.gateway.store import Store
from cotam.gateway.tokens import Tokens
from cotam.gateway.upstream import Upstream

__all__ = ["application"]

PAGE = Path(__file__).parent / "page"

_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
"""Paths of the API that metrics count one by one; the others are counted together."""


def application(
    upstream: Upstream,
    converter: Converter,
    limits: Limits,
    *,
    tokens: Sequence[str] = (),
    sender: Sender | None = None,
    store: Store | None = None,
    local: bool = False,
    page: bool = False,
    to_gateway: bool = False,
    detect: bool = False,
) -> ASGIApp:
    """A gateway to ``upstream``.

    Parameters
    ----------
    converter : changes the images of a request
    tokens : of which clients must send one; without any, all may come in
    sender : the edge's end of the link to a gateway
    store : the gateway's end: files that edges need not send again
    local : for programs on this machine only
    page : with the page at / and ``/v1/cotam/…``; without, these paths go to the upstream
    detect : the upstream may be a server of open models: it is asked which one, for the formats it opens
    to_gateway : the upstream should be a gateway: it is asked whether it is, at the start and after errors
    """
    metrics = Metrics()
    pool = ThreadPoolExecutor(limits.jobs, thread_name_prefix="images")
    comparing = ThreadPoolExecutor(1, thread_name_prefix="comparing")
    bodies = Bodies(limits.body)
    own_tokens = Tokens(*tokens) if tokens else None
    receiver = Receiver(store, limits.body) if store is not None else None
    peer = Peer(upstream) if to_gateway else None
    relay = Relay(
        upstream,
        converter,
        pool,
        bodies,
        most=limits.images,
        tokens=own_tokens,
        sender=sender,
        receiver=receiver,
        peer=peer,
        detector=Detector(upstream) if detect else None,
    )
    if store is not None:
        metrics.watch(store)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with upstream.connected():
            if peer:
                peer.start()
            yield
            if peer:
                await peer.stop()
        for one in (pool, comparing):
            one.shutdown(cancel_futures=True)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": cotam.__version__})

    async def about(request: Request) -> Response:
        return JSONResponse({"server": SERVER, "version": cotam.__version__})

    async def metrics_text(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def front(request: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers=_PAGE_HEADERS)

    routes: list[BaseRoute] = [Route("/healthz", health), Route("/metrics", metrics_text)]
    if page:
        routes += [Route("/", front), Mount("/page", StaticFiles(directory=PAGE))]
        routes.append(Route(ABOUT, about))
        routes += plain.routes(pool, bodies, limits.pixels)
        routes.append(compare.route(comparing, bodies, limits.pixels))
        routes.append(Mount(ABOUT, routes=[]))  # other paths are not for the upstream
    routes += [Route(path, relay) for path in _PATHS]
    routes += [Route("/v1/{rest:path}", relay), Route("/{version:str}/{rest:path}", relay)]
    handlers = {
        MissingError: missing_answer,
        RefusedError: refusal,
        HTTPException: refusal,
        Exception: refusal,
    }
    inner = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    inner.router.redirect_slashes = False  # paths have their normal form already
    return Guard(inner, metrics, tokens=own_tokens, limit=limits.requests, local=local)
