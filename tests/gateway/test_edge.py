"""``cotam edge`` between a real client and real servers on loopback."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from gateway_client import LIMITS, serving, until_running
from gateway_servers import Model, jpeg, messages
from synthetic import picture

import cotam
from cotam.gateway.for_api import ForApi
from cotam.gateway.for_model import ForModel
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.send_once import Sender
from cotam.gateway.store import Store
from cotam.gateway.to_cotam import ToCotam


def rows_of(answer: Any) -> list[dict[str, Any]]:
    return json.loads(answer.choices[0].message.content)


@pytest.fixture
def api(upstream: str) -> Iterator[openai.OpenAI]:
    """A client of an edge, which goes to a gateway with a token, which goes to the model."""
    with (
        serving(upstream, ForModel(10**7), tokens=["s3cret"], page=True) as cloud,
        serving(cloud, ToCotam(RequestOptions(), 10**7), token="s3cret", local=True) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="sk-client", max_retries=0) as client,
    ):
        yield client


def test_a_model_behind_both_gets_what_the_codec_gives(api: openai.OpenAI, model: Model) -> None:
    photo = jpeg(picture(200, 300))
    raw = api.chat.completions.with_raw_response.create(model="echo", messages=messages(photo, photo))
    rows = rows_of(raw.parse())
    coded = cotam.encode(photo)
    expected = hashlib.sha256(cotam.decode(coded).tobytes()).hexdigest()
    assert [(row["pixels"], row["format"], row["size"]) for row in rows] == [
        (expected, "PNG", [300, 200])
    ] * 2
    bytes_in, bytes_out = (int(text) for text in raw.headers["x-cotam-bytes"].split(","))
    assert bytes_in == len(
        json.dumps({"messages": messages(photo, photo), "model": "echo"}, separators=(",", ":"))
    )
    assert bytes_out < bytes_in / 3
    assert bytes_out == pytest.approx(2 * 4 / 3 * len(coded), abs=350)
    assert model.headers[-1]["authorization"] == "Bearer sk-client"


def test_headers_say_how(api: openai.OpenAI, model: Model) -> None:
    photo = jpeg(picture(400, 500))

    def link_bytes(**headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = api.chat.completions.with_raw_response
        raw = request.create(model="echo", messages=messages(photo), extra_headers=given)
        return int(raw.headers["x-cotam-bytes"].split(",")[1])

    usual = link_bytes()
    assert link_bytes(x_cotam_quality="10") < usual / 2
    assert link_bytes(x_cotam_target_size="2000") < 4 / 3 * 2000 + 300
    assert link_bytes(x_cotam_for="llava-1.5") < usual
    assert not any(name.startswith("x-cotam") for headers in model.headers for name in headers)
    with pytest.raises(openai.BadRequestError, match=r"x-cotam-quality: .* is not a whole number"):
        link_bytes(x_cotam_quality="best")


def test_requests_without_images_do_not_wait_for_those_with_images(upstream: str, model: Model) -> None:
    started, released = threading.Event(), threading.Event()

    class Held(ToCotam):
        def __call__(self, parts: Any, job: Any) -> Any:
            if parts:
                started.set()
                assert released.wait(300)
            return super().__call__(parts, job)

    def ask(content: Any) -> int:
        body = {"model": "echo", "messages": content}
        return httpx2.post(f"{address}/v1/chat/completions", json=body).status_code

    converter, limits = Held(RequestOptions(), 10**7), replace(LIMITS, jobs=1)
    with (
        serving(upstream, ForModel(10**7), store=Store(10**7)) as cloud,
        serving(cloud, converter, limits, sender=Sender(), local=True) as address,
        ThreadPoolExecutor(1) as beside,
    ):
        image = beside.submit(ask, messages(jpeg(picture(60, 90))))
        assert started.wait(60)
        try:
            assert ask([{"role": "user", "content": "Hello"}]) == 200
            assert not image.done()
        finally:
            released.set()
        assert image.result() == 200
    assert len(model.bodies) == 2


def test_the_gateway_behind_answers_for_itself(api: openai.OpenAI) -> None:
    assert api.models.list().data[0].id == "echo"
    content: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    with pytest.raises(openai.BadRequestError, match=r"addresses of example\.com are not allowed"):
        api.chat.completions.create(model="echo", messages=[{"role": "user", "content": content}])


def test_only_programs_on_this_machine(api: openai.OpenAI) -> None:
    address = str(api.base_url)
    port = api.base_url.port
    for host, status in (("evil.example", 403), (f"evil.example:{port}", 403), (f"localhost:{port}", 200)):
        assert httpx2.get(f"{address}models", headers={"host": host}).status_code == status
    same = {"host": f"evil.example:{port}", "origin": f"http://evil.example:{port}"}
    assert httpx2.get(f"{address}models", headers=same).status_code == 403


def test_hosted_apis_get_upright_images_within_a_request(upstream: str, model: Model) -> None:
    photos = [jpeg(np.rot90(picture(600, 800, seed)).copy(), 95, orientation=6) for seed in range(5)]
    assert sum(map(len, photos)) * 4 / 3 > 900_000
    converter = ForApi("jpeg", "llava-next", None, 450_000, 20_000_000)
    with serving(upstream, converter, key="sk-api", local=True) as address:
        turns: list[Any] = []
        with openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0) as client:
            for number, photo in enumerate(photos, 1):
                turns += messages(photo)
                rows = rows_of(client.chat.completions.create(model="echo", messages=turns))
                assert len(model.bodies[-1]) <= 450_000
                assert [row["type"] for row in rows] == ["image/jpeg"] * number
                assert rows[-1]["size"] == [672, 504]  # earlier ones may have gone down
                turns += [{"role": "assistant", "content": "A picture."}]
        metrics = until_running(address, 0)
    assert len(model.bodies[-1]) > 200_000  # and not much worse than need be
    cached = float(metrics.partition("\ncotam_images_cached_total ")[2].partition("\n")[0])
    assert cached >= 3  # of ten images of earlier turns, those that did not go down a step
    assert model.headers[-1]["authorization"] == "Bearer sk-api"


def test_what_cannot_fit_is_said_before_it_is_sent(upstream: str, model: Model) -> None:
    converter = ForApi("webp", None, None, 3000, 20_000_000)
    with (
        serving(upstream, converter) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client,
        pytest.raises(openai.APIStatusError, match="send fewer images") as caught,
    ):
        client.chat.completions.create(model="echo", messages=messages(jpeg(picture(500, 500))))
    assert caught.value.status_code == 413
    assert not model.bodies
