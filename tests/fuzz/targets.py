"""What is fuzzed: functions of bytes that may raise what they document, and nothing else.

`run.py` calls them with inputs that a coverage-guided fuzzer makes, `tests/test_fuzz.py` with the seeds and
with everything that was ever found. Add a function to `TARGETS`, with seeds in `seeds`, to have another one.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

import cotam
from cotam.errors import CotamError, InputError
from cotam.gateway.converter import Job
from cotam.gateway.for_model import ForModel
from cotam.gateway.json_body import parse_json, to_json
from cotam.gateway.media import Media
from cotam.gateway.parts import parts, replace_media
from cotam.gateway.refusal import RefusedError
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.to_cotam import ToCotam

__all__ = ["FOUND", "TARGETS", "seeds"]

FOUND = Path(__file__).parent / "found"
"""A folder for each target, with inputs on which it once failed."""

_GOLDEN = Path(__file__).parents[1] / "golden"
_PIXELS = 1 << 16
"""Larger images are refused: they would take all of the time."""


def decode(data: bytes) -> None:
    """`cotam.decode`: an image of the size that the header says, or a `CotamError` in one line."""
    try:
        image = cotam.decode(data, size_limit=_PIXELS)
    except CotamError as error:
        _check_text(error)
        return
    about = cotam.info(data)
    assert image.size == (about.width, about.height)


def info(data: bytes) -> None:
    """`cotam.info`, and the level map, which is not protected by the checksum."""
    try:
        about = cotam.info(data)
        levels = cotam.level_map(data, size_limit=_PIXELS)
    except CotamError as error:
        _check_text(error)
        return
    assert about.bytes == len(data)
    assert levels.shape == (-(-about.height // 32), -(-about.width // 32))


def rewrite(data: bytes) -> None:
    """The pure part of the gateway: where images are in a request, and other addresses in their place."""
    try:
        body, _ = parse_json(data)
    except InputError as error:
        _check_text(error)
        return
    found = parts(body)
    news = {part: Media("image/new", number.to_bytes(4)) for number, part in enumerate(found)}
    before = [(part.place, part.key, part.text) for part in found]
    assert [(part.place, part.key, part.text) for part in parts(_written(body))] == before
    replace_media(body, news)
    assert [part.media or part.text for part in parts(_written(body))] == list(news.values())


def _written(body: Any) -> Any:
    """What the upstream reads."""
    return parse_json(b"".join(to_json(body)))[0]


_for_model = ForModel(_PIXELS, roundtrip=RequestOptions(quality=10))
_to_cotam = ToCotam(RequestOptions(quality=10), _PIXELS)


def convert(data: bytes) -> None:
    """The gateway's converters on a whole request: to the model's side, and to the client's."""
    for converter in (_for_model, _to_cotam):
        try:
            body, _ = parse_json(data)
        except InputError:
            return
        try:
            news = converter(parts(body), Job())
        except RefusedError as error:
            _check_text(error)
            continue
        replace_media(body, news)
        _written(body)


def _check_text(error: Exception) -> None:
    text = str(error)
    assert text, repr(error)
    assert "\n" not in text, repr(error)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "decode": decode,
    "info": info,
    "rewrite": rewrite,
    "convert": convert,
}


def seeds(target: str) -> list[bytes]:
    """Valid inputs to begin with."""
    files = [path.read_bytes() for path in sorted(_GOLDEN.glob("*.cotam")) if path.stem != "bands"]
    return files if target in ("decode", "info") else [_request(file) for file in files] + [_responses()]


def _request(file: bytes) -> bytes:
    """A chat with a .cotam file and a PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(buffer, "PNG")
    urls = [("image/vnd.cotam", file), ("image/png", buffer.getvalue())]
    content: list[dict[str, object]] = [{"type": "text", "text": "what is this?"}]
    for kind, data in urls:
        url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        content.append({"type": "image_url", "image_url": {"url": url}})
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def _responses() -> bytes:
    picture = {"type": "input_image", "image_url": "https://example.com/a.png"}
    screen = {"type": "computer_screenshot", "image_url": "data:image/png;base64,AA=="}
    return json.dumps({"input": [{"content": [picture]}, {"output": screen}]}).encode()
