"""``cotam serve`` and ``cotam edge``: their options."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cotam.cli.options import (
    Finite,
    FrameRate,
    Option,
    byte_count,
    fit_option,
    given_flags,
    model_name,
    quality_option,
    size_limit_option,
    together,
)
from cotam.gateway.limits import FPS, MAX_FRAMES, Limits

if TYPE_CHECKING:
    from cotam.gateway.upstream import Upstream

# What needs the extra is imported when a command runs: --help works without it.

__all__ = ["edge", "serve"]

FIRST_CHOICES = ("auto", "none")
"""For ``--for`` beside names of models."""


def _listening(port: int, body: str, images: int, megapixels: int, larger: str) -> Option:
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
            help="Give up an upstream that sends nothing for so long.",
        ),
        click.option(
            "--max-body",
            metavar="BYTES",
            type=byte_count,
            default=body,
            show_default=True,
            help="Refuse larger requests, decoded from their Content-Encoding.",
        ),
        click.option(
            "--max-requests",
            metavar="N",
            type=click.IntRange(1),
            default=64,
            show_default=True,
            help="In progress at a time; more are answered 429.",
        ),
        click.option(
            "--max-images",
            metavar="N",
            type=click.IntRange(1),
            default=images,
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
            help="Images worked on at a time.",
        ),
    )


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
    """Secrets that a header of HTTP can carry. The message does not quote them: logs are read by others."""
    for secret in value if isinstance(value, tuple) else (value or "-",):
        if not re.fullmatch("[!-~]+", secret):
            raise click.BadParameter("it goes in a header: printable ASCII without spaces")
    return value


def _fit(text: str) -> str:
    return text if text in FIRST_CHOICES else model_name(text)


def _host_name(text: str) -> str:
    """A host as addresses have it."""
    if text != "*" and not re.fullmatch(
        r"[\w.-]+|[\da-f.]*:[\da-f:.]*:[\da-f:.]*", text, re.ASCII | re.IGNORECASE
    ):
        raise click.BadParameter(f"{text!r} is not a host's name, such as images.example.com, nor *")
    return text.lower()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--upstream",
    metavar="URL",
    required=True,
    help="Model server, as an OpenAI client's base URL: http://localhost:8000/v1.",
)
@_key("Key for the model server, sent in place of the client's.")
@_token(
    "What clients must send: in X-Cotam-Token, or where their API has its key.  "
    "[repeatable; default: nothing]",
    many=True,
)
@click.option(
    "--allow-remote",
    metavar="HOST",
    multiple=True,
    callback=lambda context, parameter, names: frozenset(map(_host_name, names)),
    help="Let http addresses of media on this host pass to the model server; * is all.  [repeatable]",
)
@click.option("--roundtrip", is_flag=True, help="Encode and decode ordinary images too, to measure it.")
@together(quality_option("Of --roundtrip.", None), fit_option)
@click.option(
    "--log-bytes",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append a JSON line for each image decoded: its bytes and size.",
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
@_listening(8400, "32M", 64, 50, "Refuse larger images, and four times so much in a request.")
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
    **others: Any,
) -> None:
    """Stand in front of a model server, and take .cotam for it.

    Clients of OpenAI's, Anthropic's and Gemini's APIs are served. Images sent as image/vnd.cotam become PNG,
    and a sequence as many images as it has frames; everything else passes as it is. There is a page at /,
    metrics at /metrics, and a line of JSON on standard error for each request.
    """
    from cotam.gateway.app import application
    from cotam.gateway.for_model import ForModel
    from cotam.gateway.jobs import Wish
    from cotam.gateway.proxies import is_loopback
    from cotam.gateway.server import appender, run
    from cotam.gateway.store import Store

    if not roundtrip and (quality is not None or fit):
        raise click.UsageError("--quality and --for are of --roundtrip")
    limits = _limits(others)
    options: dict[str, Any] = {"roundtrip": Wish(quality=quality, fit=fit)} if roundtrip else {}
    if log_bytes:
        file, options["log"] = appender(log_bytes)
        click.get_current_context().call_on_close(file.close)
    converter = ForModel(limits.pixels, allow_remote, times=frame_times, **options)
    to = _upstream(upstream, limits, others["timeout"], key=upstream_key)
    store_bytes = 0 if others["no_store"] else others["store_bytes"]
    store = Store(store_bytes, 3600 * others["store_age"], others["store_folder"])
    host = others["host"]
    local = not token and is_loopback(host)
    app = application(to, converter, limits, tokens=token, store=store, local=local, page=True, detect=True)
    if not token and not is_loopback(host):
        _note(f"without --token, everybody who reaches {host} may use this")
    run(app, host, others["port"], f"serve in front of {to.name}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--gateway", metavar="URL", help="cotam serve, to which images go as .cotam.")
@click.option("--upstream", metavar="URL", help="An API that reads no .cotam: https://api.example.com/v1.")
@_key("Key for --upstream, sent in place of the client's.")
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
@quality_option("Of .cotam.  [default: that of cotam encode]", None)
@click.option(
    "--for",
    "fit",
    metavar="MODEL",
    type=_fit,
    default="auto",
    show_default=True,
    help="Shrink to what this model sees, and keep to the limits of its API; auto is the model that the "
    "request names, none keeps sizes. cotam models lists the names.",
)
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
    help="For --upstream: of images that are coded again.",
)
@click.option(
    "--max-image-bytes",
    metavar="BYTES",
    type=byte_count,
    help="For --upstream: of an image's file.  [default: the limit of the model's API]",
)
@click.option(
    "--max-request-bytes",
    metavar="BYTES",
    type=byte_count,
    help="For --upstream: of a whole request.  [default: the limit of the model's API]",
)
@_listening(8401, "64M", 600, 100, "Larger images pass as they are.")
def edge(
    gateway: str | None,
    upstream: str | None,
    send_once: bool,
    patches: bool,
    quality: int | None,
    fit: str,
    target_size: int | None,
    fps: float,
    max_frames: int,
    form: Literal["jpeg", "webp"],
    max_image_bytes: int | None,
    max_request_bytes: int | None,
    **others: Any,
) -> None:
    """Stand beside a client, and send its images in fewer bytes.

    Clients of OpenAI's, Anthropic's and Gemini's APIs change one address. With --gateway, images and videos
    go as .cotam to cotam serve; one that would grow passes as it is. With --upstream, images are brought
    upright, to the size that the model sees, and within the limits of its API; those that are so already
    pass as they are. A client may ask for other settings with the headers X-Cotam-Quality,
    X-Cotam-Target-Size, X-Cotam-For, X-Cotam-Max-Pixels, X-Cotam-Fps and X-Cotam-Max-Frames.
    """
    from cotam.gateway.hosted import ForApi
    from cotam.gateway.jobs import Converter, Wish
    from cotam.gateway.once import Sender
    from cotam.gateway.patching import Patcher
    from cotam.gateway.to_cotam import ToCotam

    if bool(gateway) == bool(upstream):
        raise click.UsageError("give one of --gateway and --upstream")
    if quality is not None and target_size:
        raise click.UsageError("--quality and --target-size exclude each other")
    limits = _limits(others)
    converter: Converter
    sender = None
    if gateway:
        _refuse("--gateway", "form", "max_image_bytes", "max_request_bytes", "upstream_key")
        wish = Wish(quality, target_size, fit, fps=fps, max_frames=max_frames)
        patcher = Patcher() if send_once and patches else None
        sender = Sender(patcher.base if patcher else None) if send_once else None
        converter = ToCotam(wish, limits.pixels, patcher=patcher)
        to = _upstream(gateway, limits, others["timeout"], token=others["token"])
    else:
        _refuse("--upstream", "quality", "target_size", "token", "fps", "max_frames", "send_once", "patches")
        converter = ForApi(form, fit, max_image_bytes, max_request_bytes, limits.pixels)
        to = _upstream(upstream or "", limits, others["timeout"], key=others["upstream_key"])
    # A vendor's API is not asked for what the table of models has.
    detect = bool(upstream) and to.name.startswith("http://")
    link = {"sender": sender, "to_gateway": bool(gateway), "detect": detect}
    _run_edge(to, converter, limits, others, **link)


def _run_edge(to: Upstream, converter: Any, limits: Limits, listening: dict[str, Any], **link: Any) -> None:
    from cotam.gateway.app import application
    from cotam.gateway.proxies import is_loopback
    from cotam.gateway.server import run

    host = listening["host"]
    app = application(to, converter, limits, local=is_loopback(host), **link)
    if not is_loopback(host):
        _note(f"everybody who reaches {host} may use this, with the token or key that was given here")
    run(app, host, listening["port"], f"edge to {to.name}")


def _refuse(given: str, *names: str) -> None:
    """Refuse options on the command line that do nothing beside another one."""
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
    from cotam.gateway.upstream import Upstream

    try:
        return Upstream(address, silence=silence, connections=limits.requests, **secrets)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _note(text: str) -> None:
    click.echo(f"cotam: note: {text}", err=True)
