"""``cotam serve`` and ``cotam edge``: run a gateway or an edge."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cotam.cli.options import (
    FRAME_RATE,
    Finite,
    Option,
    byte_count,
    combine,
    fit_option,
    given_flags,
    model_name,
    option,
    quality_option,
    size_limit_option,
)
from cotam.gateway.limits import FPS, MAX_FRAMES, MAX_IMAGES, Limits

if TYPE_CHECKING:
    from cotam.gateway.upstream import Upstream

# What needs the extra is imported when a command runs: --help works without it.

__all__ = ["edge", "serve"]

_HELP = {"help_option_names": ["-h", "--help"]}


def _listening(port: int, body: str, megapixels: int, larger: str) -> Option:
    """Options of both commands."""
    count = click.IntRange(1)
    return combine(
        option("--host", "HOST", str, "127.0.0.1", "Address to listen on."),
        option(
            "--port",
            "PORT",
            click.IntRange(0, 65535),
            port,
            "Port to listen on; 0 takes a free one, which the first line of the log names.",
        ),
        option(
            "--timeout", "SECONDS", Finite(1), 600, "Give up if the upstream sends nothing for this long."
        ),
        option(
            "--max-body",
            "BYTES",
            byte_count,
            body,
            "Refuse larger requests; the size is that after decoding Content-Encoding.",
        ),
        option("--max-requests", "N", count, 64, "Requests in progress at a time; more are answered 429."),
        option(
            "--max-images",
            "N",
            count,
            MAX_IMAGES,
            "Images in one request; each frame of a .cotam sequence counts.",
        ),
        size_limit_option(larger, megapixels),
        option(
            "-j --jobs",
            "N",
            count,
            lambda: min(os.cpu_count() or 1, 8),
            "Images processed at a time.",
            show_default="number of processors, at most 8",
        ),
    )


def _secret(flag: str, metavar: str, help: str, **settings: Any) -> Option:
    """An option for a key or token, which may also be in the environment."""
    variable = f"COTAM_{flag.removeprefix('--').replace('-', '_').upper()}"
    return option(
        flag, metavar, str, None, help, envvar=variable, show_envvar=True, callback=_sendable, **settings
    )


def _sendable(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Check that secrets fit into an HTTP header. Messages do not quote them, since others read logs."""
    for secret in value if isinstance(value, tuple) else (value or "-",):
        if not re.fullmatch("[!-~]+", secret):
            raise click.BadParameter("it goes in a header: printable ASCII without spaces")
    return value


def _fit(text: str) -> str:
    return text if text in ("auto", "none") else model_name(text)


def _host_name(text: str) -> str:
    """Check a host name or address, or *."""
    if text != "*" and not re.fullmatch(
        r"[\w.-]+|[\da-f.]*:[\da-f:.]*:[\da-f:.]*", text, re.ASCII | re.IGNORECASE
    ):
        raise click.BadParameter(f"{text!r} is not a host's name, such as images.example.com, nor *")
    return text.lower()


def _origin(text: str) -> str:
    """Check an origin as browsers send it."""
    if not re.fullmatch(r"[a-z-]+://[\w.:\[\]-]+", text, re.ASCII):
        raise click.BadParameter(f"{text!r} is not an origin, such as https://app.example.com")
    return text


def _package(given: Path | None) -> Path | None:
    """Return the folder of the built npm package; None if there is none."""
    folder = given or Path(__file__).parents[3] / "js"
    if (folder / "dist" / "browser.js").is_file():
        return folder
    if given:
        raise click.UsageError(f"--package: {given} has no dist/browser.js: run npm run build there")
    return None


@click.command(context_settings=_HELP)
@option(
    "--upstream", "URL", str, None, "Base URL of the model server: http://localhost:8000/v1.", required=True
)
@_secret("--upstream-key", "KEY", "Key for the model server, sent in place of the client's.")
@_secret(
    "--token",
    "TOKEN",
    "Token that clients must send, in X-Cotam-Token or as the key of their API.  "
    "[repeatable; default: none is asked for]",
    multiple=True,
)
@option(
    "--allow-remote",
    "HOST",
    _host_name,
    None,
    "Let the model server fetch http(s) addresses of media on this host; * is any.  [repeatable]",
    multiple=True,
)
@option(
    "--allow-origin",
    "ORIGIN",
    _origin,
    None,
    "Answer web pages of this origin, such as https://app.example.com.  [repeatable]",
    multiple=True,
)
@click.option(
    "--roundtrip", is_flag=True, help="Encode and decode ordinary images on their way, to measure the codec."
)
@combine(quality_option("Quality of --roundtrip.  [default: that of cotam encode]", None), fit_option)
@option(
    "--log-bytes",
    "FILE",
    click.Path(dir_okay=False, path_type=Path),
    None,
    "Append a line of JSON for each decoded image: bytes and size.",
)
@option(
    "--store store_bytes",
    "BYTES",
    byte_count,
    "256M",
    "Size of the store of files, by which edges send each image once.",
)
@click.option("--no-store", is_flag=True, help="Store nothing: edges send every image in every turn.")
@option(
    "--store-folder",
    "DIR",
    click.Path(file_okay=False, path_type=Path),
    None,
    "Store files in this folder instead of in memory, to keep them over a restart.",
)
@option("--cache", "BYTES", byte_count, "128M", "Size of the cache of decoded images for later turns.")
@option(
    "--package",
    "DIR",
    click.Path(file_okay=False, exists=True, path_type=Path),
    None,
    "Folder of the npm package cotam, with which the page at / encodes in the browser.  "
    "[default: js/ of a clone, if it is built]",
)
@_listening(8400, "32M", 50, "Refuse larger images, and requests whose images have 24 times as many in all.")
def serve(
    upstream: str,
    upstream_key: str | None,
    token: tuple[str, ...],
    allow_remote: tuple[str, ...],
    allow_origin: tuple[str, ...],
    roundtrip: bool,
    quality: int | None,
    fit: str | None,
    log_bytes: Path | None,
    store_bytes: int,
    no_store: bool,
    store_folder: Path | None,
    cache: int,
    package: Path | None,
    **listening: Any,
) -> None:
    """Run a gateway that decodes .cotam in front of a model server.

    It understands the APIs of OpenAI, Anthropic and Gemini. Images sent as image/vnd.cotam become PNG, and a
    sequence becomes one image per frame; everything else passes unchanged. There is a demo page at /, metrics
    at /metrics, and a line of JSON on standard error for each request.
    """
    from cotam.gateway.for_model import ForModel
    from cotam.gateway.request_options import RequestOptions
    from cotam.gateway.server import appender
    from cotam.gateway.store import Store

    if not roundtrip and (quality is not None or fit):
        raise click.UsageError("--quality and --for need --roundtrip")
    if no_store:
        _refuse("--no-store", "store_bytes", "store_folder")
    limits = _limits(listening)
    options: dict[str, Any] = {"roundtrip": RequestOptions(quality=quality, fit=fit)} if roundtrip else {}
    if log_bytes:
        file, options["log"] = appender(log_bytes)
        click.get_current_context().call_on_close(file.close)
    converter = ForModel(limits.pixels, frozenset(allow_remote), cache=cache, **options)
    to = _upstream(upstream, limits, listening, key=upstream_key)
    store = Store(0 if no_store else store_bytes, folder=store_folder)
    note = "" if token else "without --token, everybody who reaches {host} may use this"
    own = {"tokens": token, "origins": allow_origin, "store": store, "page": True, "detect": True}
    own["package"] = _package(package)
    _run("serve in front of", to, converter, limits, listening, note, **own)


@click.command(context_settings=_HELP)
@option("--gateway", "URL", str, None, "Address of cotam serve: send it images as .cotam.")
@option("--upstream", "URL", str, None, "API that does not read .cotam: https://api.example.com/v1.")
@_secret("--upstream-key", "KEY", "Key for --upstream, sent in place of the client's.")
@_secret("--token", "TOKEN", "Token that --gateway asks for.")
@click.option(
    "--send-once/--no-send-once",
    default=True,
    help="For --gateway: send each image once, and after that its SHA-256.",
)
@click.option(
    "--patches/--no-patches",
    default=True,
    help="For --gateway: send what changed since an earlier image of the conversation.",
)
@quality_option("Quality of .cotam files.  [default: that of cotam encode]", None)
@option(
    "--for fit",
    "MODEL",
    _fit,
    "auto",
    "Shrink to the size that this model sees, and keep to the limits of its API. auto is the model that "
    "the request names; none keeps sizes. cotam models lists the names.",
)
@option("--target-size", "BYTES", byte_count, None, "Largest .cotam file, in place of --quality.")
@option("--fps", "X", FRAME_RATE, FPS, "For --gateway: frames to take per second of a video.")
@option(
    "--max-frames",
    "N",
    click.IntRange(0),
    MAX_FRAMES,
    "For --gateway: take at most N frames, spread evenly over a video; 0 leaves videos as they are.",
)
@option(
    "--format form",
    None,
    click.Choice(["jpeg", "webp"]),
    "jpeg",
    "For --upstream: format of re-encoded images.",
)
@option(
    "--max-image-bytes",
    "BYTES",
    byte_count,
    None,
    "For --upstream: largest file of an image.  [default: the limit of the model's API]",
)
@option(
    "--max-request-bytes",
    "BYTES",
    byte_count,
    None,
    "For --upstream: largest request.  [default: the limit of the model's API]",
)
@_listening(8401, "256M", 100, "Larger images pass as they are.")
def edge(
    gateway: str | None,
    upstream: str | None,
    upstream_key: str | None,
    token: str | None,
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
    **listening: Any,
) -> None:
    """Run a local proxy that sends the images of a client in fewer bytes.

    Clients of the APIs of OpenAI, Anthropic and Gemini change their base URL, nothing else. With --gateway,
    images and videos go to cotam serve as .cotam, unless that is larger. With --upstream, images are turned
    upright, shrunk to the size that the model sees and kept within the limits of its API; images that are
    so already pass unchanged. Clients may set the headers X-Cotam-Quality, X-Cotam-Target-Size,
    X-Cotam-For, X-Cotam-Max-Pixels, X-Cotam-Fps and X-Cotam-Max-Frames for one request.
    """
    if quality is not None and target_size:
        raise click.UsageError("--quality and --target-size exclude each other")
    limits = _limits(listening)
    note = "everybody who reaches {host} may use this, with the token or key that was given here"
    if gateway and not upstream:
        from cotam.gateway.patch_encoder import Patcher
        from cotam.gateway.request_options import RequestOptions
        from cotam.gateway.send_once import Sender
        from cotam.gateway.to_cotam import ToCotam

        _refuse("--gateway", "form", "max_image_bytes", "max_request_bytes", "upstream_key")
        options = RequestOptions(quality, target_size, fit, fps=fps, max_frames=max_frames)
        patcher = Patcher() if send_once and patches else None
        sender = (Sender(patcher.base) if patcher else Sender()) if send_once else None
        to = _upstream(gateway, limits, listening, token=token)
        converter = ToCotam(options, limits.pixels, patcher=patcher)
        _run("edge to", to, converter, limits, listening, note, sender=sender, to_gateway=True)
    elif upstream and not gateway:
        from cotam.gateway.for_api import ForApi

        _refuse("--upstream", "quality", "target_size", "token", "fps", "max_frames", "send_once", "patches")
        to = _upstream(upstream, limits, listening, key=upstream_key)
        api = ForApi(form, fit, max_image_bytes, max_request_bytes, limits.pixels)
        # For the API of a vendor the table of models has the formats.
        _run("edge to", to, api, limits, listening, note, detect=to.name.startswith("http://"))
    else:
        raise click.UsageError("give one of --gateway and --upstream")


def _run(
    what: str,
    to: Upstream,
    converter: Any,
    limits: Limits,
    listening: dict[str, Any],
    note: str,
    **settings: Any,
) -> None:
    """Listen until a signal; ``note`` is printed if other machines are answered."""
    from cotam.gateway.app import application
    from cotam.gateway.server import run
    from cotam.gateway.upstream import is_loopback

    host = listening["host"]
    local = is_loopback(host) and not settings.get("tokens")
    app = application(to, converter, limits, local=local, **settings)
    if note and not is_loopback(host):
        click.echo(f"cotam: note: {note.format(host=host)}", err=True)
    run(app, host, listening["port"], f"{what} {to.name}")


def _refuse(given: str, *names: str) -> None:
    """Refuse options on the command line that have no effect with ``given``."""
    for flag in given_flags(names):
        raise click.UsageError(f"{flag} does nothing with {given}")


def _limits(listening: dict[str, Any]) -> Limits:
    counts = {name: listening[f"max_{name}"] for name in ("body", "requests", "images")}
    return Limits(**counts, pixels=listening["size_limit"] * 1_000_000, jobs=listening["jobs"])


def _upstream(address: str, limits: Limits, listening: dict[str, Any], **secrets: str | None) -> Upstream:
    from cotam.gateway.upstream import Upstream

    try:
        return Upstream(address, silence=listening["timeout"], connections=limits.requests, **secrets)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
