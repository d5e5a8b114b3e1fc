"""What is told of each request: a line of the log, and the metrics.

Knows sizes, kinds and times: no line has a word of a body in it, nor a picture or its address.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import Scope

from cotam.gateway.convert import Note

__all__ = ["Exchange", "JsonLines", "Metrics", "exchange_of"]


@dataclass
class Exchange:
    """One request and its answer, as the log and the metrics see it."""

    method: str
    path: str
    id: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    bytes_in: int = 0
    bytes_upstream: int = 0
    bytes_out: int = 0
    notes: list[Note] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    def line(self) -> dict[str, Any]:
        """For the log."""
        pictures = Tally(f"{note.source}>{note.result}" for note in self.notes)
        return {
            "id": self.id,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "seconds": round(time.perf_counter() - self.started, 4),
            "stages": {name: round(seconds, 4) for name, seconds in self.seconds.items()},
            "bytes_in": self.bytes_in,
            "bytes_upstream": self.bytes_upstream,
            "bytes_out": self.bytes_out,
            "pictures": dict(pictures),
            "picture_bytes": [sum(n.bytes_in for n in self.notes), sum(n.bytes_out for n in self.notes)],
            "cached": sum(note.cached for note in self.notes),
        } | ({"error": self.error} if self.error else {})


class Metrics:
    """Counters in Prometheus' form, of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stages = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
        made: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("cotam_requests", "Requests answered.", ["path", "status"], **made)
        self.bytes = Counter("cotam_body_bytes", "Bytes of bodies.", ["direction"], **made)
        self.pictures = Counter(
            "cotam_pictures", "Pictures by what became of them.", ["source", "result"], **made
        )
        self.picture_bytes = Counter("cotam_picture_bytes", "Bytes of picture files.", ["side"], **made)
        self.cached = Counter("cotam_pictures_cached", "Pictures that were made before.", **made)
        self.errors = Counter("cotam_errors", "Requests that were not answered well.", ["status"], **made)
        self.seconds = Histogram("cotam_stage_seconds", "Time by stage.", ["stage"], buckets=stages, **made)
        self.running = Gauge("cotam_requests_running", "Requests being worked on.", **made)

    def add(self, exchange: Exchange, route: str) -> None:
        """Count an exchange under the route that took it: paths of strangers are no labels."""
        self.requests.labels(route, exchange.status).inc()
        for direction in ("in", "upstream", "out"):
            self.bytes.labels(direction).inc(getattr(exchange, f"bytes_{direction}"))
        for note in exchange.notes:
            self.pictures.labels(note.source, note.result).inc()
            self.picture_bytes.labels("in").inc(note.bytes_in)
            self.picture_bytes.labels("out").inc(note.bytes_out)
            self.cached.inc(note.cached)
        for stage, seconds in exchange.seconds.items():
            self.seconds.labels(stage).observe(seconds)
        self.seconds.labels("total").observe(time.perf_counter() - exchange.started)
        if exchange.status >= 400 or exchange.error:
            self.errors.labels(exchange.status).inc()


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that the guard keeps of this request."""
    found = scope["cotam.exchange"]
    assert isinstance(found, Exchange)
    return found


class JsonLines(logging.Formatter):
    """One JSON object a line; ``extra={"fields": {…}}`` of a record is part of it."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        row = {"time": f"{when}.{int(record.msecs):03}Z", "level": record.levelname.lower()}
        row |= {"message": record.getMessage()} | getattr(record, "fields", {})
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)
