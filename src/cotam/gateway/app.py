"""The ASGI applications of ``serve`` and ``edge``: routes and middleware."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Lifespan

import cotam
from cotam.compare.formats import installed_formats
from cotam.gateway import compare, single_image
from cotam.gateway.access_tokens import Tokens
from cotam.gateway.bodies import Bodies, LingeringClose
from cotam.gateway.converter import Converter
from cotam.gateway.exchange import Metrics
from cotam.gateway.guard import Guard
from cotam.gateway.limits import Limits
from cotam.gateway.paths import UPLOADS, VERSIONS
from cotam.gateway.refusal import RefusedError, refusal
from cotam.gateway.relay import JSON_PATHS, Relay
from cotam.gateway.send_once import Receiver, Sender
from cotam.gateway.store import Store
from cotam.gateway.threads import Threads
from cotam.gateway.upstream import Upstream
from cotam.gateway.upstream_kind import ABOUT, SERVER, Detector, Peer
from cotam.image import models

__all__ = ["application"]

PAGE = Path(__file__).parent / "page"

_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

_METHODS = ("GET", "POST", "DELETE")
_EXPOSED = [
    "X-Request-Id",
    *(f"X-Cotam-{name}" for name in ("Bytes", "Error", "Quality", "Saved", "Size", "Tokens")),
]
"""Methods of requests from pages of other origins, and headers of answers that these may read."""

_RELAYED = (
    *JSON_PATHS,
    *(f"{before}{version}/{{rest:path}}" for before in ("/", UPLOADS) for version in VERSIONS),
)
"""Paths to the upstream, as counted in metrics."""


def application(
    upstream: Upstream,
    converter: Converter,
    limits: Limits,
    *,
    tokens: Sequence[str] = (),
    sender: Sender | None = None,
    store: Store | None = None,
    local: bool = False,
    origins: Collection[str] = (),
    page: bool = False,
    package: Path | None = None,
    to_gateway: bool = False,
    detect: bool = False,
) -> ASGIApp:
    """Build the application of a gateway or edge in front of ``upstream``.

    Parameters
    ----------
    tokens : accepted tokens; if empty, all clients are accepted
    sender : sends images once over the link to a gateway; for an edge
    store : files that edges need not send again; for a gateway
    local : whether to answer only programs on this machine
    origins : origins of other web pages that are answered
    page : whether to serve the page at / and ``/v1/cotam/…``, which otherwise go to the upstream
    package : folder of the built npm package, with which the page encodes and decodes in the browser
    detect : whether to ask the upstream which model server it is, to know the formats that it reads
    to_gateway : whether to check, at the start and after errors, that the upstream is a gateway
    """
    metrics = Metrics(store)
    pools = [Threads(limits.jobs, "images"), Threads(1, "comparing")]
    bodies = Bodies(limits.body)
    own_tokens = Tokens(*tokens) if tokens else None
    peer = Peer(upstream) if to_gateway else None
    relay = Relay(
        upstream,
        converter,
        pools[0],
        bodies,
        max_images=limits.images,
        tokens=own_tokens,
        sender=sender,
        receiver=Receiver(store, limits.body) if store is not None else None,
        peer=peer,
        detector=Detector(upstream) if detect else None,
    )
    health = {"status": "ok", "version": cotam.__version__}
    routes: list[BaseRoute] = [_constant("/healthz", health), Route("/metrics", metrics.answer)]
    if page:
        routes += _page_routes(pools, bodies, limits.pixels) + _assets(package, needs_token=bool(tokens))
    inner = Starlette(
        routes=[*routes, *(Route(path, relay) for path in _RELAYED)],
        exception_handlers=dict.fromkeys((RefusedError, HTTPException, Exception), refusal),
        lifespan=_lifespan(upstream, peer, pools),
    )
    inner.router.redirect_slashes = False  # paths have their normal form already
    guard = Guard(inner, metrics, tokens=own_tokens, limit=limits.requests, local=local, origins=origins)
    app = LingeringClose(guard)
    return CORSMiddleware(app, origins, _METHODS, ["*"], expose_headers=_EXPOSED) if origins else app


def _lifespan(upstream: Upstream, peer: Peer | None, pools: Sequence[Executor]) -> Lifespan[Starlette]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with upstream.client:
            if peer:
                peer.start()
            yield
            if peer:
                await peer.stop()
        for pool in pools:
            pool.shutdown(cancel_futures=True)

    return lifespan


def _constant(path: str, value: dict[str, Any], headers: Mapping[str, str] | None = None) -> Route:
    return Route(path, JSONResponse(value, headers=headers), methods=["GET"])


def _page_routes(pools: Sequence[Executor], bodies: Bodies, size_limit: int) -> list[BaseRoute]:
    pool, comparing = pools
    return [
        _constant(ABOUT, {"server": SERVER, "version": cotam.__version__}),
        *single_image.routes(pool, bodies, size_limit),
        *compare.routes(comparing, bodies, size_limit),
        Mount(ABOUT, routes=[]),  # other paths are not for the upstream
    ]


def _assets(package: Path | None, *, needs_token: bool) -> list[BaseRoute]:
    """Return the routes of the page and its settings, for which no token is needed."""

    async def front(request: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers=_PAGE_HEADERS)

    settings = {
        "token": needs_token,
        "package": "/page/package/dist/browser.js" if package else None,
        "formats": [{"name": one.name, "title": one.title} for one in installed_formats()],
        "models": [{"name": one.name, "title": one.title} for one in models.all_models()],
    }
    # Windows keeps the types of files in its registry, where programs replace this one by text/plain.
    mimetypes.add_type("text/javascript", ".js")
    folders = [(f"/page/package/{name}", package / name) for name in ("dist", "weights")] if package else []
    return [
        Route("/", front),
        _constant("/page/settings.json", settings, {"cache-control": "no-cache"}),
        *(Mount(path, StaticFiles(directory=folder)) for path, folder in [*folders, ("/page", PAGE)]),
    ]
