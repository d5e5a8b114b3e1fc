"""Batches: requests within a request, each with a model of its own."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx2
import numpy as np
from gateway_client import serving
from gateway_parts import saved
from gateway_servers import Model
from PIL import Image
from synthetic import picture

import cotam
from cotam.gateway.converter import Job
from cotam.gateway.for_api import ForApi
from cotam.gateway.parts import models_of, parts
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.to_cotam import ToCotam
from cotam.image import models

PHOTO = saved(picture(600, 2700), "JPEG", quality=98)
NOISE = saved(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8), "JPEG")


def batch(*requests: tuple[str | None, list[bytes]]) -> dict[str, Any]:
    """The body of Anthropic's POST /v1/messages/batches: the model and the images of each request."""
    found = []
    for number, (model, images) in enumerate(requests):
        blocks = [
            {
                "type": "image",
                "source": {
                    "type": "base64",
                    "media_type": "image/jpeg",
                    "data": base64.b64encode(data).decode(),
                },
            }
            for data in images
        ]
        params: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": blocks}]}
        found.append({"custom_id": f"r{number}", "params": params | ({"model": model} if model else {})})
    return {"requests": found}


def sent_images(body: Any) -> list[list[bytes]]:
    """The files of each request of a batch."""
    return [
        [
            base64.b64decode(block["source"]["data"])
            for message in request["params"]["messages"]
            for block in message["content"]
        ]
        for request in body["requests"]
    ]


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


def sizes_for(*names: str) -> list[tuple[int, int]]:
    return [models.get(name).size_for(*size_of(PHOTO)) for name in names]


def test_each_request_is_fitted_to_its_own_model(upstream: str, model: Model) -> None:
    """Only a request of more than 20 images has Claude's lower limit on sides, not a batch of them."""
    names = ["claude-sonnet-4-5", *["claude-opus-4-7"] * 21]
    body = batch(*((name, [PHOTO]) for name in names), (None, [PHOTO]))
    with serving(upstream, ForApi("jpeg", "auto", None, None, 10**7)) as address:
        answer = httpx2.post(f"{address}/v1/messages/batches", json=body)
    assert answer.status_code == 200, answer.text
    *sent, last = sent_images(json.loads(model.bodies[-1]))
    expected = sizes_for(*names)
    assert [size_of(image) for (image,) in sent] == expected
    assert max(expected[0]) < 2000 < max(expected[1])
    assert last == [PHOTO]
    assert "x-cotam-tokens" not in answer.headers  # the last one names no model


def test_a_batch_may_be_larger_than_a_request() -> None:
    body = batch(*[("claude-opus-4-7", [NOISE])] * 2)
    names = models_of(body)
    found = parts(body)
    limit = models.get("claude-opus-4-7").limits.request_bytes
    assert limit
    assert ForApi("jpeg", "auto", None, None, 10**7)(found, Job(models=names, rest=limit)) == {}
    small = ForApi("jpeg", "auto", None, 100_000, 10**7)(found, Job(models=names))
    assert sum(len(media.data) for media in small.values()) < 75_000


def test_an_edge_to_a_gateway_fits_them_too() -> None:
    edge = ToCotam(RequestOptions(fit="auto"), 10**7)
    body = batch(("claude-sonnet-4-5", [PHOTO]), ("claude-opus-4-7", [PHOTO]))
    first, second = edge(parts(body), Job(models=models_of(body))).values()
    infos = [cotam.info(media.data) for media in (first, second)]
    assert [(info.width, info.height) for info in infos] == sizes_for("claude-sonnet-4-5", "claude-opus-4-7")


def test_a_model_of_the_whole_request_comes_first(upstream: str, model: Model) -> None:
    """Gemini's bodies repeat the model of the path with another name."""
    body = batch(("models/unknown", [PHOTO])) | {"model": "claude-sonnet-4-5"}
    with serving(upstream, ForApi("jpeg", "auto", None, None, 10**7)) as address:
        httpx2.post(f"{address}/v1/messages/batches", json=body)
    ((image,),) = sent_images(json.loads(model.bodies[-1]))
    assert [size_of(image)] == sizes_for("claude-sonnet-4-5")
