"""``/v1/cotam/encode`` and ``decode``, without a model."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from gateway_client import CODED, PIXELS, gateway
from gateway_servers import error_of
from PIL import Image

import cotam


@pytest.fixture
def address() -> Iterator[str]:
    with gateway("http://127.0.0.1:9") as found:
        yield found


def test_encode_and_decode(address: str) -> None:
    png = io.BytesIO()
    Image.fromarray(PIXELS).save(png, "PNG")
    answer = httpx2.post(f"{address}/v1/cotam/encode?quality=30&for=llava-next", content=png.getvalue())
    assert answer.headers["content-type"] == "image/vnd.cotam"
    assert answer.content == cotam.encode(PIXELS, quality=30)
    assert (answer.headers["x-cotam-size"], answer.headers["x-cotam-quality"]) == ("130x90", "30")
    small = httpx2.post(f"{address}/v1/cotam/encode?target_size=700", content=png.getvalue())
    assert len(small.content) <= 700
    back = httpx2.post(f"{address}/v1/cotam/decode", content=answer.content)
    assert back.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(back.content)) as image:
        assert np.array_equal(image, cotam.decode(answer.content))


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("encode", b"text", "not an image of a known format"),
        ("encode", b"", "^the body is empty$"),
        ("encode", CODED, "is a .cotam file already"),
        ("encode?quality=101", b"", "quality: '101' is not a whole number from 0 to 100"),
        ("encode?target_size=0", b"", "target_size: '0' is not a number of bytes"),
        ("encode?target_size=9000&quality=4", b"", "^quality and target_size exclude each other$"),
        ("encode?qualty=4", b"", "'qualty' is unknown: use quality, target_size, for, max_pixels$"),
        ("encode?fps=2", b"", "'fps' is unknown"),
        ("decode?quality=4", b"", "'quality' is unknown: there are no options here"),
        ("encode?for=me", b"", "for: model 'me' is unknown"),
        ("decode", b"text", "not an image of a known"),
        ("decode", b"", "^the body is empty$"),
        ("decode", CODED[:50], "ends"),
    ],
)
def test_plain_use_explains(address: str, path: str, body: bytes, reason: str) -> None:
    answer = httpx2.post(f"{address}/v1/cotam/{path}", content=body)
    assert answer.status_code == 400
    assert re.search(reason, error_of(answer))
