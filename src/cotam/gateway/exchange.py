"""Record each request in the log and in metrics, without any contents."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from cotam.gateway.store import Store

__all__ = ["Conversion", "Exchange", "Metrics", "exchange_of"]


@dataclass(frozen=True)
class Conversion:
    """The conversion of an image or video: kinds and bytes of its file before and after."""

    source: str
    result: str
    bytes_in: int
    bytes_out: int
    cached: bool


@dataclass
class Exchange:
    """A request and its answer, as recorded in log and metrics."""

    method: str
    path: str
    id: str  # for the log; sent as ``X-Request-Id`` unless the upstream sends one
    upstream_id: str | None = None
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    bytes_in: int = 0  # of the body from the client
    bytes_upstream: int = 0  # of the body to the upstream
    bytes_out: int = 0  # of the body of the answer
    conversions: list[Conversion] = field(default_factory=list)
    tokens: int | None = None  # visual tokens of the images for the model of the request; None if unknown
    seconds: dict[str, float] = field(default_factory=dict)  # stage → duration
    owner: str = "shared"  # owner of the stored files that the request may name
    saved: int | None = None  # bytes of the body that did not cross the link; None if the link is not used
    error: str | None = None  # message of a request that was refused or aborted

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record the duration of a stage that finishes."""
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def line(self) -> dict[str, Any]:
        """Return the fields of the line in the log."""
        line = {
            "id": self.id,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "seconds": round(time.perf_counter() - self.started, 4),
            "stages": {name: round(seconds, 4) for name, seconds in self.seconds.items()},
            "bytes_in": self.bytes_in,
            "bytes_upstream": self.bytes_upstream,
            "bytes_out": self.bytes_out,
            "images": Counts(f"{one.source}>{one.result}" for one in self.conversions),
            "image_bytes": [
                sum(one.bytes_in for one in self.conversions),
                sum(one.bytes_out for one in self.conversions),
            ],
            "cached": sum(one.cached for one in self.conversions),
        }
        for name in ("upstream_id", "tokens", "saved", "error"):
            if (value := getattr(self, name)) is not None:
                line[name] = value
        return line


class Metrics:
    """Prometheus counters of an application, and the size of its store."""

    def __init__(self, store: Store | None = None) -> None:
        self.registry = CollectorRegistry()
        stages = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
        made: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("cotam_requests", "Requests answered.", ["path", "status"], **made)
        self.bytes = Counter("cotam_body_bytes", "Bytes of bodies.", ["direction"], **made)
        self.images = Counter("cotam_images", "Images and videos, by kind.", ["source", "result"], **made)
        self.image_bytes = Counter("cotam_image_bytes", "Bytes of image files.", ["side"], **made)
        self.cached = Counter("cotam_images_cached", "Images taken from the cache.", **made)
        self.seconds = Histogram("cotam_stage_seconds", "Time by stage.", ["stage"], buckets=stages, **made)
        self.saved = Counter("cotam_saved_bytes", "Bytes of bodies that did not cross the link.", **made)
        self.running = Gauge("cotam_requests_running", "Requests in progress.", **made)
        if store is not None:
            held = Gauge("cotam_store_bytes", "Bytes of stored files.", **made)
            held.set_function(lambda: store.held)
            count = Gauge("cotam_store_files", "Stored files.", **made)
            count.set_function(lambda: len(store))

    async def answer(self, request: Request) -> Response:
        """Return all metrics as text."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def add(self, exchange: Exchange, route: str) -> None:
        """Count an exchange under its route, since paths are arbitrary."""
        self.requests.labels(route, exchange.status).inc()
        for direction in ("in", "upstream", "out"):
            self.bytes.labels(direction).inc(getattr(exchange, f"bytes_{direction}"))
        for one in exchange.conversions:
            self.images.labels(one.source, one.result).inc()
            self.image_bytes.labels("in").inc(one.bytes_in)
            self.image_bytes.labels("out").inc(one.bytes_out)
            self.cached.inc(one.cached)
        for stage, seconds in exchange.seconds.items():
            self.seconds.labels(stage).observe(seconds)
        self.seconds.labels("total").observe(time.perf_counter() - exchange.started)
        self.saved.inc(max(exchange.saved or 0, 0))


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that `Guard` keeps for this request."""
    found = scope["cotam.exchange"]
    assert isinstance(found, Exchange)
    return found
