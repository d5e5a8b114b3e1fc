"""Model server and gateway of a test; without the packages of the extra [serve] nothing is collected."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gateway_servers import Model

NEEDED = ("httpx2", "openai", "prometheus_client", "starlette", "uvicorn")

if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_authority() -> Iterator[None]:
    """Trust a single certificate authority: each HTTP client loads all, which takes longer than a request.

    Nothing here speaks TLS.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(Path(__file__).with_name("authority.pem")))
        yield


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Let clients and gateways wait longer for connections and answers than any busy machine needs."""
    import httpx2

    from cotam.gateway import upstream, upstream_kind

    usual = inspect.signature(httpx2.request).parameters["timeout"].default  # the object of all functions
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "read", "write", "pool"):
            patch.setattr(usual, name, 300)
        patch.setattr(upstream, "CONNECT_SECONDS", 300)
        patch.setattr(upstream_kind, "SECONDS", 300)
        yield


@pytest.fixture
def model() -> Model:
    """What the gateway stands in front of."""
    from gateway_servers import Model

    return Model()


@pytest.fixture
def upstream(model: Model) -> Iterator[str]:
    """Its address, while it runs."""
    from gateway_servers import running

    with running(model.app) as address:
        yield address


@pytest.fixture
def address(upstream: str) -> Iterator[str]:
    """Of a gateway in front of it."""
    from gateway_client import gateway

    with gateway(upstream) as found:
        yield found
