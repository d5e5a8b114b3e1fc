"""``cotam serve`` and ``cotam edge``: run a gateway or an edge."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
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
from cotam.errors import MissingExtraError
from cotam.gateway.limits import FPS, MAX_FRAMES, MAX_IMAGES, Limits

if TYPE_CHECKING:
    from cotam.gateway.upstream import Upstream

# What needs the extra is imported when a command runs: --help works without it.

__all__ = ["edge", "serve"]


@contextmanager
def _needing_extra() -> Iterator[None]:
    """Turn the error for a module that is not installed into a MissingExtraError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "cotam":
            raise
        raise MissingExtraError("serve", error.name) from error


def _listening(port: int, body: str, larger: str) -> Option:
    """Options of both commands."""
    count = click.IntRange(1)
    return combine(
        option("--host HOST", "Address to listen on.", default="127.0.0.1"),
        option(
            "--port PORT",
            "Port to listen on; 0 takes a free one, which the first line of the log names.",
            click.IntRange(0, 65535),
            port,
        ),
        option(
            "--allow-origin ORIGIN",
            "Answer web pages of this origin, such as https://app.example.com.  [repeatable]",
            _origin,
            multiple=True,
        ),
        option("--timeout SECONDS", "Give up if the upstream sends nothing for this long.", Finite(1), 600),
        option(
            "--max-body BYTES",
            "Refuse larger requests; the size is that after decoding Content-Encoding.",
            byte_count,
            body,
        ),
        option("--max-requests N", "Requests in progress at a time; more are answered 429.", count, 64),
        option(
            "--max-images N",
            "Images in one request; each frame of a .cotam sequence counts.",
            count,
            MAX_IMAGES,
        ),
        size_limit_option(larger, 100),  # one default: the gateway decodes what an edge sends
        option(
            "-j --jobs N",
            "Images processed at a time.",
            count,
            lambda: min(os.cpu_count() or 1, 8),
            show_default="number of processors, at most 8",
        ),
    )


def _secret(spec: str, help: str, **settings: Any) -> Option:
    """An option for a key or token, which may also be in the environment."""
    variable = f"COTAM_{spec.split()[0].removeprefix('--').replace('-', '_').upper()}"
    return option(spec, help, envvar=variable, show_envvar=True, callback=_sendable, **settings)


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


@click.command(short_help="Decode .cotam in front of a model server (extra serve).")
@option("--upstream URL", "Base URL of the model server: http://localhost:8000/v1.", required=True)
@_secret("--upstream-key KEY", "Key for the model server, sent in place of the client's.")
@_secret(
    "--token TOKEN",
    "Token that clients must send, in X-Cotam-Token or as the key of their API.  "
    "[repeatable; default: none is asked for]",
    multiple=True,
)
@option(
    "--allow-remote HOST",
    "Let the model server fetch http(s) addresses of media on this host; * is any.  [repeatable]",
    _host_name,
    multiple=True,
)
@click.option(
    "--roundtrip", is_flag=True, help="Encode and decode ordinary images on their way, to measure the codec."
)
@combine(quality_option("Quality of --roundtrip.  [default: that of cotam encode]", None), fit_option)
@option(
    "--log-bytes FILE",
    "Append a line of JSON for each decoded image: bytes and size.",
    click.Path(dir_okay=False, path_type=Path),
)
@option(
    "--store BYTES store_bytes",
    "Size of the store of files, by which edges send each image once.",
    byte_count,
    "256M",
)
@click.option("--no-store", is_flag=True, help="Store nothing: edges send every image in every turn.")
@option(
    "--store-folder DIR",
    "Store files in this folder instead of in memory, to keep them over a restart.",
    click.Path(file_okay=False, path_type=Path),
)
@option("--cache BYTES", "Size of the cache of decoded images for later turns.", byte_count, "128M")
@option(
    "--provider NAME providers",
    "Execution provider of ONNX Runtime that runs the networks, such as CUDAExecutionProvider. Not tested "
    "with any but the default.  [repeatable; default: CPUExecutionProvider]",
    multiple=True,
)
@option(
    "--package DIR",
    "Folder of the npm package cotam, with which the page at / encodes in the browser.  "
    "[default: js/ of a clone, if it is built]",
    click.Path(file_okay=False, exists=True, path_type=Path),
)
@_listening(8400, "32M", "Refuse larger images, and requests whose images have 12 times as many in all.")
@_needing_extra()
def serve(
    upstream: str,
    upstream_key: str | None,
    token: tuple[str, ...],
    allow_remote: tuple[str, ...],
    roundtrip: bool,
    quality: int | None,
    fit: str | None,
    log_bytes: Path | None,
    store_bytes: int,
    no_store: bool,
    store_folder: Path | None,
    cache: int,
    providers: tuple[str, ...],
    package: Path | None,
    **listening: Any,
) -> None:
    """Run a gateway that decodes .cotam in front of a model server.

    It understands the APIs of OpenAI, Anthropic and Gemini. Images sent as image/vnd.cotam become PNG, and a
    sequence becomes one image per frame; everything else passes unchanged. There is a demo page at /, metrics
    at /metrics, and a line of JSON on standard error for each request.
    """
    from cotam.gateway import log
    from cotam.gateway.for_model import ForModel
    from cotam.gateway.request_options import RequestOptions
    from cotam.gateway.store import Store
    from cotam.runtime import use_providers

    if not roundtrip and (quality is not None or fit):
        raise click.UsageError("--quality and --for need --roundtrip")
    if no_store:
        _refuse("--no-store", "store_bytes", "store_folder")
    use_providers(*providers)
    limits = _limits(listening)
    options: dict[str, Any] = {"roundtrip": RequestOptions(quality=quality, fit=fit)} if roundtrip else {}
    if log_bytes:
        file, options["log"] = log.appender(log_bytes)
        click.get_current_context().call_on_close(file.close)
    converter = ForModel(limits.pixels, frozenset(allow_remote), cache=cache, **options)
    to = _upstream(upstream, limits, listening, key=upstream_key)
    store = Store(0 if no_store else store_bytes, folder=store_folder)
    note = "" if token else "without --token, everybody who reaches {host} may use this"
    own = {"tokens": token, "store": store, "page": True, "package": _package(package), "detect": True}
    _run("serve in front of", to, converter, limits, listening, note, **own)


@click.command(short_help="Shrink and encode the images of a client (extra serve).")
@option("--gateway URL", "Address of cotam serve: send it images as .cotam.")
@option("--upstream URL", "API that does not read .cotam: https://api.example.com/v1.")
@_secret("--upstream-key KEY", "Key for --upstream, sent in place of the client's.")
@_secret("--token TOKEN", "Token that --gateway asks for.")
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
    "--for MODEL fit",
    "Shrink to the size that this model sees, and keep to the limits of its API. auto is the model that "
    "the request names; none keeps sizes. cotam models lists the names.",
    _fit,
    "auto",
)
@option("--target-size BYTES", "Largest .cotam file, in place of --quality.", byte_count)
@option("--fps X", "For --gateway: frames to take per second of a video.", FRAME_RATE, FPS)
@option(
    "--max-frames N",
    "For --gateway: take at most N frames, spread evenly over a video; 0 leaves videos as they are.",
    click.IntRange(0),
    MAX_FRAMES,
)
@option(
    "--format form", "For --upstream: format of re-encoded images.", click.Choice(["jpeg", "webp"]), "jpeg"
)
@option(
    "--max-image-bytes BYTES",
    "For --upstream: largest file of an image.  [default: the limit of the model's API]",
    byte_count,
)
@option(
    "--max-request-bytes BYTES",
    "For --upstream: largest request.  [default: the limit of the model's API]",
    byte_count,
)
@_listening(8401, "256M", "Larger images pass as they are.")
@_needing_extra()
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
    app = application(to, converter, limits, local=local, origins=listening["allow_origin"], **settings)
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
