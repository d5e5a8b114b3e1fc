"""Bodies for the upstream, whose files become base64 as they are sent."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from gateway_client import URL, send
from gateway_servers import Model

from cotam.gateway.json_body import to_json
from cotam.gateway.media import Media
from cotam.gateway.parts import parts, replace_media


def chat(*urls: str) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": "m", "ü": 0.5, "messages": [{"role": "user", "content": content}], "n": 1}


@pytest.mark.parametrize("size", [0, 1, 2, 3, (3 << 18) - 1, 3 << 18, (3 << 18) + 1])
def test_files_are_sent_whole(size: int) -> None:
    body = chat("data:a", "data:b", "data:c", "https://d")
    first, second, third, _ = parts(body)
    file = Media("image/png", bytes(range(256)) * (size // 256) + bytes(size % 256))
    changes: dict[Any, Any] = {
        first: file,
        second: [("<0.0 seconds>", file), ("<1.0 seconds>", Media("image/png", b"PNG"))],
        third: Media("image/jpeg", b"JPEG"),
    }
    replace_media(body, changes)
    content = to_json(body)
    length, text = len(content), b"".join(content)
    assert length == len(text)
    sent = [part.media for part in parts(json.loads(text))]
    assert sent == [file, file, Media("image/png", b"PNG"), Media("image/jpeg", b"JPEG"), None]


def test_files_are_not_copied_before_they_are_sent() -> None:
    file = bytes(1_000_000)
    body = chat(*["data:a"] * 200)
    tracemalloc.start()
    try:
        replace_media(body, {part: Media("image/png", file) for part in parts(body)})
        content = to_json(body)
        length = len(content)
        assert sum(map(len, content)) == length > 200 * 1_333_000
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_the_model_server_is_told_the_length(address: str, model: Model) -> None:
    assert send(address, URL, URL).status_code == 200
    (body,), (headers,) = model.bodies, model.headers
    assert headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in headers
    assert len(json.loads(body)["messages"][0]["content"]) == 3
