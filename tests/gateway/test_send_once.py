"""Images cross the link between ``cotam edge`` and ``cotam serve`` once: real servers and a real client."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from gateway_client import serving, until_running
from gateway_servers import Link, Model, running
from PIL import Image
from synthetic import page, picture

import cotam
from cotam.format.changes import Changes
from cotam.gateway.for_model import ForModel
from cotam.gateway.limits import Limits
from cotam.gateway.link import LINK_TYPE, pack, split, unpack
from cotam.gateway.patch_encoder import Patcher
from cotam.gateway.patch_format import Patch, is_patch, write_patch
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.send_once import Sender
from cotam.gateway.server import SERVER
from cotam.gateway.store import Store, digest_of
from cotam.gateway.to_cotam import ToCotam

LIMITS = Limits(body=2_000_000, requests=8, images=32, pixels=10**6, jobs=2)
SCREEN = np.concatenate([page(160, 144, 12), picture(160, 112)], 1)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def screens(count: int) -> list[bytes]:
    """Screenshots of a session: two windows, and a mark that moves."""
    found = []
    for number in range(count):
        pixels = (SCREEN if number % 3 else 255 - SCREEN).copy()
        pixels[64:80, 16 * number % 224 : 16 * number % 224 + 16] = (200, 30, 30)
        found.append(png(pixels))
    return found


def photos(count: int) -> list[bytes]:
    """Images that share nothing."""
    return [png(picture(96, 128, seed)) for seed in range(count)]


class Session:
    """A client that repeats all images in every turn, an edge, a link, gateways and a model."""

    def __init__(self, stack: ExitStack, model: Model, upstream: str) -> None:
        self._stack, self.model, self._upstream = stack, model, upstream
        self.link, self.stores = Link(), [Store(10**7)]
        self.cloud = stack.enter_context(running(self.link, **SERVER))
        self._gateways = stack.enter_context(ExitStack())
        self.start_gateways()
        self.edges = stack.enter_context(ExitStack())
        self.start_edge()

    def start_gateways(self, *tokens: str) -> None:
        """Start new ones with the stores as they are."""
        self._gateways.close()
        self.link.targets = [
            self._gateways.enter_context(
                serving(self._upstream, ForModel(10**6), LIMITS, tokens=tokens, store=store)
            )
            for store in self.stores
        ]

    def forget(self) -> None:
        """Start a gateway that holds nothing."""
        self.stores = [Store(10**7)]
        self.start_gateways()

    def start_edge(self, patches: bool = True, once: bool = True, token: str | None = None) -> None:
        """Start one that knows nothing of what was sent."""
        self.edges.close()
        patcher = Patcher() if patches else None
        sender = Sender(patcher.base if patcher else None) if once else None
        converter = ToCotam(RequestOptions(), 10**6, patcher=patcher)
        self.edge = self.edges.enter_context(serving(self.cloud, converter, token=token, sender=sender))

    def turn(self, images: list[bytes], **options: Any) -> Any:
        """Send a conversation, and return the answer with its headers."""
        urls = ["data:image/png;base64," + base64.b64encode(image).decode() for image in images]
        content = [[{"type": "image_url", "image_url": {"url": url}}] for url in urls]
        messages: Any = [{"role": "user", "content": parts} for parts in content]
        with openai.OpenAI(base_url=f"{self.edge}/v1", api_key="sk-client", max_retries=0) as client:
            request = client.chat.completions.with_raw_response
            answer = request.create(model="echo", messages=messages, **options)
            if not options:
                return answer
            return "".join(event.choices[0].delta.content or "" for event in answer.parse())

    def play(self, images: list[bytes], turns: range | None = None) -> list[list[str]]:
        """The pixels, as a hash of each, that the model saw in each turn."""
        return [self.seen(self.turn(images[:number])) for number in turns or range(1, len(images) + 1)]

    @staticmethod
    def seen(answer: Any) -> list[str]:
        return [row["pixels"] for row in json.loads(answer.parse().choices[0].message.content)]


@pytest.fixture
def session(model: Model, upstream: str) -> Iterator[Session]:
    with ExitStack() as stack:
        yield Session(stack, model, upstream)


def check(turns: list[list[str]], count: int) -> None:
    """Every image in every turn, and the same pixels each time."""
    assert [len(turn) for turn in turns] == list(range(1, count + 1))
    assert all(turn == turns[-1][: len(turn)] for turn in turns)


def urls_of(body: bytes) -> list[str]:
    messages = json.loads(body)["messages"]
    return [message["content"][0]["image_url"]["url"] for message in messages]


def test_each_image_crosses_once_and_the_model_gets_it_in_every_turn(session: Session) -> None:
    session.start_edge(patches=False)
    images = photos(5)
    check(session.play(images), 5)
    files = [cotam.encode(image) for image in images]
    assert session.link.bytes < sum(map(len, files)) + 5 * 450
    assert [len(unpack(body, 10**6).files) for body in session.link.bodies] == [1] * 5
    last = urls_of(session.model.bodies[-1])
    for body in session.model.bodies:
        assert urls_of(body) == last[: len(urls_of(body))]
    assert session.model.headers[-1]["content-type"] == "application/json"


def test_screenshots_cross_as_patches(session: Session) -> None:
    images = screens(5)
    check(session.play(images), 5)
    assert [is_patch(file) for file in session.link.files] == [False, False, True, True, True]
    assert sum(map(len, session.link.files)) < 0.6 * sum(len(cotam.encode(image)) for image in images)
    last = urls_of(session.model.bodies[-1])
    assert all(url.startswith("data:image/png;base64,") for url in last)


def test_the_clients_of_other_apis(session: Session) -> None:
    anthropic, genai = pytest.importorskip("anthropic"), pytest.importorskip("google.genai")
    images = photos(2)
    text = [base64.b64encode(image).decode() for image in images]
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        for data in text
    ]
    parts = [genai.types.Part.from_bytes(data=image, mime_type="image/png") for image in images]
    with anthropic.Anthropic(base_url=session.edge, api_key="sk-ant", max_retries=0) as client:
        for count in (1, 2):
            turns = [{"role": "user", "content": blocks[:count]}]
            client.messages.create(model="echo", max_tokens=9, messages=turns)
    options = genai.types.HttpOptions(base_url=session.edge)
    with genai.Client(api_key="g-key", http_options=options) as client:
        client.models.generate_content(model="gemini-3-pro", contents=parts)
    assert [len(unpack(body, 10**6).files) for body in session.link.bodies] == [1, 1, 0]
    seen = [re.findall(rb'"data": ?"([^"]+)"', body) for body in session.model.bodies]
    assert [len(found) for found in seen] == [1, 2, 2]
    assert seen[0] == seen[1][:1]
    assert seen[1] == seen[2]
    assert base64.b64decode(seen[2][1]).startswith(b"\x89PNG")


def test_files_in_url_safe_base64_cross_once(session: Session) -> None:
    """Google's client for Python writes all files so, and only images become .cotam."""
    genai = pytest.importorskip("google.genai")
    document = b"%PDF-1.4" + np.random.default_rng(1).bytes(9000)
    contents = [genai.types.Part.from_bytes(data=document, mime_type="application/pdf")]
    options = genai.types.HttpOptions(base_url=session.edge)
    with genai.Client(api_key="g-key", http_options=options) as client:
        for _ in range(2):
            client.caches.create(model="gemini-3-pro", config={"contents": contents})
    assert [[*unpack(body, 10**6).files.values()] for body in session.link.bodies] == [[document], []]
    for body in session.model.bodies:
        inline = json.loads(body)["contents"][0]["parts"][0]["inlineData"]
        assert base64.b64decode(inline["data"], validate=True) == document
        assert (inline.get("mimeType") or inline["mime_type"]) == "application/pdf"


def test_what_it_saves_is_counted(session: Session) -> None:
    images = photos(3)
    session.play(images[:2])
    answer = session.turn(images)
    bytes_in, bytes_out = map(int, answer.headers["x-cotam-bytes"].split(","))
    saved = int(answer.headers["x-cotam-saved"])
    assert bytes_out == len(session.link.bodies[-1])
    assert saved > sum(len(cotam.encode(image)) for image in images[:2])
    assert bytes_out + saved < bytes_in
    assert "x-cotam-stored" not in answer.headers
    for address in (session.edge, session.link.targets[0]):
        metrics = until_running(address, 0)
        assert float(metrics.partition("\ncotam_saved_bytes_total ")[2].partition("\n")[0]) >= saved
    assert "\ncotam_store_files 3.0\n" in metrics
    assert f"\ncotam_store_bytes {float(session.stores[0].held)}\n" in metrics


def test_it_can_be_turned_off(session: Session) -> None:
    session.start_edge(once=False, patches=False)
    answer = session.turn(photos(1))
    assert "x-cotam-saved" not in answer.headers
    assert json.loads(session.link.bodies[0])["model"] == "echo"


def test_uploads_are_not_searched_for_files(session: Session) -> None:
    upload = b'"' + base64.b64encode(bytes(1000)) + b'"'
    answer = httpx2.post(f"{session.edge}/v1/files", files={"file": upload})
    assert answer.content == session.link.bodies[-1]
    assert upload in answer.content


def test_a_gateway_that_forgot_asks_within_the_same_request(session: Session) -> None:
    images = screens(6)
    turns = session.play(images[:4])
    session.forget()
    before = len(session.link.bodies)
    turns += session.play(images, range(5, 7))
    check(turns, 6)
    assert session.link.statuses[before:] == [412, 200, 200]
    metrics = until_running(session.link.targets[0], 0)
    assert '\ncotam_requests_total{path="/v1/chat/completions",status="412"} 1.0\n' in metrics


def test_a_store_on_disk_outlives_a_restart(session: Session, tmp_path: Path) -> None:
    images = screens(6)
    session.stores = [Store(10**7, folder=tmp_path)]
    session.start_gateways()
    turns = session.play(images[:4])
    session.stores = [Store(10**7, folder=tmp_path)]
    session.start_gateways()
    turns += session.play(images, range(5, 7))
    check(turns, 6)
    assert session.link.statuses == [200] * 6


def test_an_edge_that_has_just_started_asks_before_it_sends(session: Session) -> None:
    images = screens(6)
    turns = session.play(images[:5])
    session.start_edge()
    before = session.link.bytes
    turns += session.play(images, range(6, 7))
    check(turns, 6)
    assert session.link.bytes - before < len(cotam.encode(images[0]))
    assert session.link.statuses == [200] * 6


def test_two_gateways_behind_one_address(session: Session) -> None:
    session.stores = [Store(10**7), Store(10**7)]
    session.start_gateways()
    check(session.play(screens(5)), 5)
    assert set(session.link.statuses) == {200, 412}


@pytest.mark.parametrize("limit", [0, 9000])
def test_a_store_that_is_full_costs_bytes_and_no_image(session: Session, limit: int) -> None:
    session.stores = [Store(limit)]
    session.start_gateways()
    check(session.play(photos(2) + screens(3)), 5)
    assert session.stores[0].held <= limit


def test_streaming(session: Session) -> None:
    images = screens(2)
    session.turn(images[:1])
    session.forget()
    text = session.turn(images, stream=True)
    assert len(json.loads(text)) == 2


def test_a_trimmed_history_brings_its_base_along(session: Session) -> None:
    images = screens(3)[1:]
    session.play(images)
    session.forget()
    seen = session.seen(session.turn(images[1:]))  # a patch onto an image that is not in the request
    assert len(seen) == 1
    got = unpack(session.link.bodies[-1], 10**6)
    assert len(got.digests) == 1
    assert len(got.files) == 2


def test_two_tokens_learn_nothing_of_each_other(session: Session) -> None:
    session.start_gateways("one", "two")
    images = photos(2)
    session.start_edge(token="one")
    session.play(images)
    session.start_edge(token="two")
    session.turn(images)
    assert session.link.statuses == [200, 200, 412, 200]  # as if nobody had sent them before
    missing = unpack(session.link.bodies[-2], 10**6)
    assert len(missing.files) == 1
    assert len(session.stores[0]) == 4
    session.start_edge(token="three")
    with pytest.raises(openai.AuthenticationError):
        session.turn(images)


def test_the_clients_key_is_no_name_for_what_is_stored(session: Session, tmp_path: Path) -> None:
    session.stores = [Store(10**7, folder=tmp_path)]
    session.start_gateways("gateway-token")
    session.start_edge(token="gateway-token")
    session.turn(photos(1))
    assert session.model.headers[-1]["authorization"] == "Bearer sk-client"
    text = " ".join(map(str, tmp_path.rglob("*")))
    for secret in (b"gateway-token", b"sk-client", b"Bearer sk-client"):
        assert secret.decode() not in text
        assert digest_of(secret).hex() not in text


def post(address: str, body: bytes) -> httpx2.Response:
    return httpx2.post(f"{address}/v1/chat/completions", content=body, headers={"content-type": LINK_TYPE})


def test_damaged_link_bodies_are_refused(session: Session) -> None:
    session.turn(photos(1))
    gateway, body = session.link.targets[0], session.link.bodies[0]
    assert post(gateway, body).status_code == 200
    for damaged in (b"", b"CTL2", body[:-1], body + b"\0"):
        assert post(gateway, damaged).status_code == 400


def test_many_references_do_not_make_a_body_larger_than_allowed(session: Session) -> None:
    large = png(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    text = base64.b64encode(large).decode()
    body = json.dumps({"model": "echo", "messages": [text] * 10}).encode()
    parts = split(body, "application/json")
    packed = pack(parts, parts.files.values())
    assert len(packed) < 400_000
    answer = post(session.link.targets[0], packed)
    assert answer.status_code == 413
    assert "larger than the limit of 2,000,000 bytes" in answer.text


def cotam_body(file: bytes) -> dict[str, Any]:
    url = "data:image/vnd.cotam;base64," + base64.b64encode(file).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    return {"model": "echo", "messages": [{"role": "user", "content": content}]}


def test_patches_of_a_client_are_refused_where_nobody_can_decode_them(session: Session) -> None:
    patch = write_patch(Patch(8, 8, digest_of(b"an image that nobody has"), 1, Changes()), 50)
    address = f"{session.edge}/v1/chat/completions"
    answer = httpx2.post(address, json=cotam_body(patch))
    assert answer.status_code == 503
    assert "1 images that patches are based on are no longer kept" in answer.text
    damaged = patch[:10] + b"\xff\xff" + patch[12:]
    answer = httpx2.post(address, json=cotam_body(damaged))
    assert answer.status_code == 400
    assert "damaged" in answer.text
    assert not session.model.bodies


def test_depths_of_patches_are_those_of_their_chain(session: Session) -> None:
    files = [cotam.encode(SCREEN[:16, :16])]
    for depth in range(1, 9):
        files.append(write_patch(Patch(16, 16, digest_of(files[-1]), depth, Changes()), 50))
    for file in files:
        session.stores[0].put("shared", file)
    gateway = session.link.targets[0]
    for base, depth, status in ((7, 8, 200), (0, 2, 400), (8, 1, 400), (8, 8, 400), (8, 9, 400)):
        patch = write_patch(Patch(16, 16, digest_of(files[base]), depth, Changes()), 50)
        answer = httpx2.post(f"{gateway}/v1/chat/completions", json=cotam_body(patch))
        assert answer.status_code == status
        assert ("of its chain" in answer.text) == (status == 400)


def test_a_patch_without_its_base_is_never_a_wrong_image(session: Session) -> None:
    images = screens(3)[1:]
    session.play(images)
    body = cotam_body(next(file for file in session.link.files if is_patch(file)))
    found = httpx2.post(f"{session.link.targets[0]}/v1/chat/completions", json=body)
    assert found.status_code == 200  # the base is stored for this caller
    session.forget()
    answer = httpx2.post(f"{session.link.targets[0]}/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert "is not stored here: send it whole" in answer.text
