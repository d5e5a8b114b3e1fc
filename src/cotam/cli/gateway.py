"""``cotam serve`` and ``cotam edge``: options, and the server that listens."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
import uvicorn
from starlette.types import ASGIApp

from cotam.cli.options import (
    Finite,
    FrameRate,
    Option,
    byte_count,
    fit_option,
    given_flags,
    quality_option,
    size_limit_option,
    together,
)
from cotam.errors import InputError
from cotam.gateway.app import Limits, application
from cotam.gateway.exchange import JsonLines
from cotam.gateway.for_model import ForModel
from cotam.gateway.hosted import ToBudget
from cotam.gateway.jobs import FPS, MAX_FRAMES, Converter, Wish
from cotam.gateway.once import Sender
from cotam.gateway.patching import Patcher
from cotam.gateway.store import Store
from cotam.gateway.to_cotam import ToCotam
from cotam.gateway.upstream import Upstream

__all__ = ["SERVER", "edge", "serve"]

GRACE_SECONDS = 30
"""Requests that are being answered when the server is told to stop have so long."""

SERVER: dict[str, Any] = {
    "access_log": False,
    "log_config": None,
    # Those of the upstream are relayed.
    "server_header": False,
    "date_header": False,
}
"""Settings of uvicorn that are part of how a gateway answers."""

_LOG = logging.getLogger("cotam.gateway")


def _listening(port: int, body: str, megapixels: int, larger: str) -> Option:
    """Options that both commands have."""
    return together(
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="0 takes a free one; the first line of the log names it.",
        ),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=Finite(1),
            default=600,
            show_default=True,
            help="Give up an upstream that is silent so long.",
        ),
        click.option(
            "--max-body",
            metavar="BYTES",
            type=byte_count,
            default=body,
            show_default=True,
            help="Refuse larger requests.",
        ),
        click.option(
            "--max-requests",
            metavar="N",
            type=click.IntRange(1),
            default=64,
            show_default=True,
            help="Worked on at a time; more are answered 429.",
        ),
        click.option(
            "--max-images",
            metavar="N",
            type=click.IntRange(1),
            default=64,
            show_default=True,
            help="In one request; each frame of a .cotam sequence is one.",
        ),
        size_limit_option(larger, megapixels),
        click.option(
            "-j",
            "--jobs",
            metavar="N",
            type=click.IntRange(1),
            default=lambda: min(os.cpu_count() or 1, 8),
            show_default="number of processors, at most 8",
            help="Pictures worked on at a time.",
        ),
    )


def _coding(quality: str) -> Option:
    """How pictures are encoded."""
    return together(quality_option(quality, None), fit_option)


def _key(text: str) -> Option:
    return _secret("--upstream-key", "KEY", "COTAM_UPSTREAM_KEY", text)


def _token(text: str, many: bool = False) -> Option:
    return _secret("--token", "TOKEN", "COTAM_TOKEN", text, many)


def _secret(name: str, metavar: str, variable: str, text: str, many: bool = False) -> Option:
    return click.option(
        name,
        metavar=metavar,
        envvar=variable,
        show_envvar=True,
        callback=_sendable,
        multiple=many,
        help=text,
    )


def _sendable(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Secrets that a header of HTTP can carry. They are not named: logs are read by others."""
    for secret in value if isinstance(value, tuple) else (value or "-",):
        if not re.fullmatch("[!-~]+", secret):
            raise click.BadParameter("it goes in a header: printable ASCII without spaces")
    return value


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--upstream",
    metavar="URL",
    required=True,
    help="Model server, as an OpenAI client's base URL: http://localhost:8000/v1.",
)
@_key("Bearer for the model server, in place of the client's.")
@_token("What clients must show, as a bearer or in X-Cotam-Token.  [repeatable; default: nothing]", many=True)
@click.option(
    "--allow-remote",
    metavar="HOST",
    multiple=True,
    callback=lambda context, parameter, names: frozenset(map(_host_name, names)),
    help="Let http addresses of pictures on this host pass to the model server; * is all.  [repeatable]",
)
@click.option("--roundtrip", is_flag=True, help="Encode and decode ordinary pictures too, to measure it.")
@_coding("Of --roundtrip.")
@click.option(
    "--log-bytes",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append a JSON line for each picture decoded: its bytes and size.",
)
@click.option(
    "--frame-times/--no-frame-times",
    default=True,
    show_default=True,
    help="Before each frame of a video, say its time: <3.0 seconds>.",
)
@click.option(
    "--store",
    "store_bytes",
    metavar="BYTES",
    type=byte_count,
    default="256M",
    show_default=True,
    help="Keep so many bytes of what edges send, so that they send each image once.",
)
@click.option("--no-store", is_flag=True, help="Keep nothing: edges send every image in every turn.")
@click.option(
    "--store-age",
    metavar="HOURS",
    type=Finite(0.01),
    default=24,
    show_default=True,
    help="Forget what was not used for so long.",
)
@click.option(
    "--store-folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep it there instead of in memory, so that it outlives a restart.",
)
@_listening(8400, "32M", 50, "Refuse larger pictures, and four times so much in a request.")
def serve(
    upstream: str,
    upstream_key: str | None,
    token: tuple[str, ...],
    allow_remote: frozenset[str],
    roundtrip: bool,
    quality: int | None,
    fit: str | None,
    log_bytes: Path | None,
    frame_times: bool,
    store_bytes: int,
    no_store: bool,
    store_age: float,
    store_folder: Path | None,
    **listening: Any,
) -> None:
    """Stand in front of a model server that speaks OpenAI's API, and take .cotam for it.

    Pictures sent as data:image/vnd.cotam;base64,… become PNG, and a sequence as many as it has frames;
    everything else under /v1 passes as it is. There is a page at /, metrics at /metrics, and a line of JSON
    on standard error for each request.
    """
    if not roundtrip and (quality is not None or fit):
        raise click.UsageError("--quality and --for are of --roundtrip")
    limits = _limits(listening)
    wish = Wish(quality=quality, fit=fit) if roundtrip else None
    log = _appender(log_bytes) if log_bytes else lambda row: None
    converter = ForModel(limits.pixels, allow_remote, roundtrip=wish, log=log, times=frame_times)
    to = _upstream(upstream, limits, listening["timeout"], key=upstream_key)
    host = listening["host"]
    store = Store(0 if no_store else store_bytes, 3600 * store_age, store_folder)
    local = not token and _is_loopback(host)
    app = application(to, converter, limits, tokens=token, store=store, local=local, page=True)
    if not token and not _is_loopback(host):
        _note(f"without --token, everybody who reaches {host} may use this")
    _run(app, host, listening["port"], f"serve in front of {to.name}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--gateway", metavar="URL", help="cotam serve, to which pictures go as .cotam.")
@click.option("--upstream", metavar="URL", help="An API that knows no .cotam: https://api.example.com/v1.")
@_key("Bearer for --upstream, in place of the client's.")
@_token("What --gateway asks for.")
@click.option(
    "--send-once/--no-send-once",
    default=True,
    show_default=True,
    help="For --gateway: send each image once, and after that its SHA-256.",
)
@click.option(
    "--patches/--no-patches",
    default=True,
    show_default=True,
    help="For --gateway: send what changed since an earlier image of the conversation.",
)
@_coding("Of .cotam.  [default: that of cotam encode]")
@click.option("--target-size", metavar="BYTES", type=byte_count, help="Of a .cotam file, at most.")
@click.option(
    "--fps",
    metavar="X",
    type=FrameRate(),
    default=FPS,
    show_default=True,
    help="For --gateway: frames a second that are taken of a video.",
)
@click.option(
    "--max-frames",
    metavar="N",
    type=click.IntRange(0),
    default=MAX_FRAMES,
    show_default=True,
    help="For --gateway: at most so many, evenly over the video; 0 leaves videos as they are.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jpeg", "webp"]),
    default="jpeg",
    show_default=True,
    help="For --upstream: of pictures that are coded again.",
)
@click.option(
    "--max-image-bytes", metavar="BYTES", type=byte_count, help="For --upstream: of a picture's file."
)
@click.option(
    "--max-request-bytes",
    metavar="BYTES",
    type=byte_count,
    default="4M",
    show_default=True,
    help="For --upstream: of a whole request.",
)
@_listening(8401, "64M", 100, "Larger pictures pass as they are; with --upstream they are refused.")
def edge(
    gateway: str | None,
    upstream: str | None,
    upstream_key: str | None,
    token: str | None,
    send_once: bool,
    patches: bool,
    quality: int | None,
    fit: str | None,
    target_size: int | None,
    fps: float,
    max_frames: int,
    form: Literal["jpeg", "webp"],
    max_image_bytes: int | None,
    max_request_bytes: int,
    **listening: Any,
) -> None:
    """Stand beside a client that speaks OpenAI's API, and send its pictures in fewer bytes.

    With --gateway, pictures and videos go as .cotam to cotam serve; one that would grow passes as it is. With
    --upstream, pictures are turned upright, shrunk to what the model can use, and coded again where a request
    or a picture has more bytes than allowed. A client may ask for other settings with the headers
    X-Cotam-Quality, X-Cotam-Target-Size, X-Cotam-For, X-Cotam-Max-Pixels, X-Cotam-Fps, X-Cotam-Max-Frames.
    """
    if bool(gateway) == bool(upstream):
        raise click.UsageError("give one of --gateway and --upstream")
    if quality is not None and target_size:
        raise click.UsageError("--quality and --target-size exclude each other")
    limits = _limits(listening)
    converter: Converter
    sender = None
    if gateway:
        _refuse("--gateway", "form", "max_image_bytes", "max_request_bytes", "upstream_key")
        wish = Wish(quality, target_size, fit, fps=fps, max_frames=max_frames)
        patcher = Patcher() if send_once and patches else None
        sender = Sender(patcher.base if patcher else None) if send_once else None
        converter = ToCotam(wish, limits.pixels, patcher=patcher)
        to = _upstream(gateway, limits, listening["timeout"], token=token)
    else:
        _refuse("--upstream", "quality", "target_size", "token", "fps", "max_frames", "send_once", "patches")
        converter = ToBudget(form, fit, max_image_bytes, max_request_bytes, limits.pixels)
        to = _upstream(upstream or "", limits, listening["timeout"], key=upstream_key)
    host = listening["host"]
    app = application(to, converter, limits, sender=sender, local=_is_loopback(host))
    if not _is_loopback(host):
        _note(f"everybody who reaches {host} may use this, with the token or key that was given here")
    _run(app, host, listening["port"], f"edge to {to.name}")


def _refuse(given: str, *names: str) -> None:
    """Options on the command line that do nothing beside another one."""
    for flag in given_flags(names):
        raise click.UsageError(f"{flag} does nothing with {given}")


def _limits(listening: dict[str, Any]) -> Limits:
    return Limits(
        body=listening["max_body"],
        requests=listening["max_requests"],
        images=listening["max_images"],
        pixels=listening["size_limit"] * 1_000_000,
        jobs=listening["jobs"],
    )


def _upstream(address: str, limits: Limits, silence: float, **secrets: str | None) -> Upstream:
    try:
        return Upstream(address, silence=silence, connections=limits.requests, **secrets)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _host_name(text: str) -> str:
    """A host as addresses have it."""
    if text != "*" and not re.fullmatch(
        r"[\w.-]+|[\da-f.]*:[\da-f:.]*:[\da-f:.]*", text, re.ASCII | re.IGNORECASE
    ):
        raise click.BadParameter(f"{text!r} is not a host's name, such as pictures.example.com, nor *")
    return text.lower()


def _note(text: str) -> None:
    click.echo(f"cotam: note: {text}", err=True)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _appender(path: Path) -> Callable[[dict[str, Any]], None]:
    """Writes rows to the end of a file, whole lines at a time."""
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    click.get_current_context().call_on_close(file.close)
    lock = threading.Lock()

    def append(row: dict[str, Any]) -> None:
        with lock:
            file.write(json.dumps(row) + "\n")
            file.flush()

    return append


class _Server(uvicorn.Server):
    """Says that it listens once it heeds signals: one that comes earlier does not end it in good order."""

    def __init__(self, config: uvicorn.Config, address: dict[str, str]) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _LOG.info("listening", extra={"fields": self._address})


def _run(app: ASGIApp, host: str, port: int, what: str) -> None:
    """Listen until a signal, then finish what has begun."""
    _log_as_json()
    config = uvicorn.Config(app, timeout_graceful_shutdown=GRACE_SECONDS, **SERVER)
    with _listener(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listener.getsockname()[1]}"
        _Server(config, {"url": url, "what": what}).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot listen on {host}, port {port}: {reason}") from error


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("cotam.gateway", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
