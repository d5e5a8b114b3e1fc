"""Run an application until a signal."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from cotam.errors import InputError
from cotam.gateway import log

__all__ = ["SERVER", "allow_connections", "run"]

GRACE_SECONDS = 30
"""Seconds for requests in progress after a signal to stop."""

_MACOS_OPEN_MAX = 10_240
"""macOS states no hard limit on file descriptors, and refuses to set a soft limit above this one."""

SERVER: dict[str, Any] = {
    "http": "h11",  # httptools, which uvicorn takes where it is installed, drops parts of targets
    "access_log": False,
    "log_config": None,
    # A request is lost on a connection that is closed at that moment: clients of OpenAI and Anthropic keep
    # connections for 5 seconds, uvicorn's default, and proxies for up to two minutes.
    "timeout_keep_alive": 180,
    "ws": "none",  # requests for WebSockets reach the application, which refuses them
    # The headers of the upstream are relayed.
    "server_header": False,
    "date_header": False,
}
"""Settings of uvicorn that affect answers."""


class _Server(uvicorn.Server):
    """Logs that it listens once it handles signals: an earlier signal would not stop it cleanly."""

    def __init__(self, config: uvicorn.Config, address: dict[str, str]) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("listening", **self._address)


def run(app: ASGIApp, host: str, port: int, what: str) -> None:
    """Listen until a signal, then finish the requests in progress.

    Raises InputError if the port is taken, or the host does not belong to this machine.
    """
    log.begin()
    allow_connections()
    config = uvicorn.Config(app, timeout_graceful_shutdown=GRACE_SECONDS, **SERVER)
    with _listener(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listener.getsockname()[1]}"
        _Server(config, {"url": url, "what": what}).run(sockets=[listener])


def allow_connections() -> None:
    """Raise the limit on file descriptors, where there is one, as far as this process may.

    Each connection takes one, and the soft limit is often 256 or 1024. Without a free one, asyncio tries to
    accept connections, and logs the error, without end.
    """
    with suppress(ImportError, OSError, ValueError):
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

        soft, hard = getrlimit(RLIMIT_NOFILE)
        most = max(soft, _MACOS_OPEN_MAX) if hard == RLIM_INFINITY else hard
        setrlimit(RLIMIT_NOFILE, (most, hard))


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot listen on {host}, port {port}: {reason}") from error
