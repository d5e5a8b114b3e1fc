"""Image parts of Gemini's interactions and of MCP: ``{"type": "image", "data": …, "mime_type": …}``."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from gateway_client import CODED, SEEN, serving
from gateway_servers import Model, jpeg
from PIL import Image
from synthetic import picture

import cotam
from cotam.gateway.for_api import ForApi
from cotam.gateway.for_model import ForModel
from cotam.gateway.parts import check_clear, parts
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.to_cotam import ToCotam

PHOTO = jpeg(picture(200, 300))
DECODED = ("image/png", hashlib.sha256(cotam.decode(cotam.encode(PHOTO)).tobytes()).hexdigest())


def image(
    data: bytes = PHOTO, kind: str = "image/jpeg", key: str = "mimeType", **more: Any
) -> dict[str, Any]:
    return {"type": "image", "data": base64.b64encode(data).decode(), key: kind} | more


def interaction(*content: dict[str, Any]) -> dict[str, Any]:
    return {"model": "gemini-3-pro", "input": [{"type": "user_input", "content": [*content]}]}


@pytest.fixture
def gateway(upstream: str) -> Iterator[str]:
    with serving(upstream, ForModel(10**7)) as address:
        yield address


@pytest.fixture
def edge(gateway: str) -> Iterator[str]:
    with serving(gateway, ToCotam(RequestOptions(), 10**7)) as address:
        yield address


@pytest.fixture
def hosted(upstream: str) -> Iterator[str]:
    """An edge in front of a hosted API."""
    with serving(upstream, ForApi("jpeg", None, None, None, 10**7)) as address:
        yield address


def rows_of(text: str) -> list[tuple[str, str]]:
    return [(row["type"], row["pixels"]) for row in json.loads(text)]


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_geminis_client_of_interactions(edge: str, model: Model, version: str) -> None:
    genai = pytest.importorskip("google.genai")
    shown = image(key="mime_type")
    turns = [
        {"type": "user_input", "content": [{"type": "text", "text": "Look."}, shown]},
        {"type": "function_call", "id": "f", "name": "screenshot", "arguments": {}},
        {"type": "function_result", "call_id": "f", "result": [shown]},
        {"type": "mcp_server_tool_result", "call_id": "m", "result": [shown]},
    ]
    options = genai.types.HttpOptions(base_url=edge, api_version=version)
    client = genai.Client(api_key="g-key", http_options=options)
    answers = [
        client.interactions.create(model="gemini-3-pro", input=given) for given in (turns, [shown], shown)
    ]
    client.close()
    texts = [answer.steps[0].content[0].text for answer in answers]
    assert [rows_of(text) for text in texts] == [[DECODED] * 3, [DECODED], [DECODED]]
    assert {path.rstrip("?") for path in model.paths} == {f"/{version}/interactions"}
    assert json.loads(model.bodies[0])["input"][0]["content"][1].keys() == shown.keys()


def test_results_of_mcp_in_openais_apis(edge: str, model: Model) -> None:
    noted = image(annotations={"audience": ["user"]})
    turns: Any = [{"type": "mcp_call", "id": "m", "name": "n", "output": [noted]}]
    with openai.OpenAI(base_url=f"{edge}/v1", api_key="sk", max_retries=0) as client:
        client.responses.create(model="echo", input=turns)
    (shown,) = json.loads(model.bodies[-1])["input"][0]["output"]
    assert (shown["mimeType"], shown["annotations"]) == ("image/png", noted["annotations"])
    assert base64.b64decode(shown["data"]).startswith(b"\x89PNG")
    assert "mime_type" not in shown


def test_results_of_mcp_in_anthropics_messages(edge: str) -> None:
    block = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, image()]}
    body = {"model": "echo", "messages": [{"role": "user", "content": [block]}]}
    answer = httpx2.post(f"{edge}/v1/messages", json=body).json()
    assert rows_of(answer["content"][0]["text"]) == [DECODED]


def test_a_hosted_api_gets_the_size_that_its_model_sees(hosted: str, model: Model) -> None:
    photo = jpeg(picture(1000, 1400))
    body = interaction(image(photo, key="mime_type", resolution="low"), image(picture_of_bmp(), "image/bmp"))
    sent = {"x-cotam-for": "gpt-4o"}
    answer = httpx2.post(f"{hosted}/v1beta/interactions", json=body, headers=sent).json()
    rows = json.loads(answer["steps"][0]["content"][0]["text"])
    assert [row["format"] for row in rows] == ["JPEG", "JPEG"]
    assert [row["type"] for row in rows] == ["image/jpeg", "image/jpeg"]
    assert max(rows[0]["size"]) == 512  # the level low


def picture_of_bmp() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(40, 60)).save(buffer, "BMP")
    return buffer.getvalue()


def test_cotam_of_a_client_is_decoded_and_a_sequence_becomes_its_frames(gateway: str, model: Model) -> None:
    pixels = [picture(64, 96, seed) for seed in range(2)]
    sequence = b"".join(cotam.encode_frames([(0.0, pixels[0]), (1.0, pixels[1])]))
    body = interaction(*(image(data, "image/vnd.cotam", "mime_type") for data in (CODED, sequence)))
    answer = httpx2.post(f"{gateway}/v1beta/interactions", json=body).json()
    rows = rows_of(answer["steps"][0]["content"][0]["text"])
    assert rows[0] == ("image/png", SEEN)
    content = json.loads(model.bodies[-1])["input"][0]["content"]
    assert [part.get("text") for part in content] == [None, "<0.0 seconds>", None, "<1.0 seconds>", None]
    assert [part["type"] for part in content] == ["image", "text", "image", "text", "image"]
    assert [part.get("mime_type") for part in content[::2]] == ["image/png"] * 3


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "data": "AAAA"},
        {"type": "image", "data": "AAAA", "mimeType": "audio/wav"},
        {"type": "image", "data": ["AAAA"], "mimeType": "image/png"},
        {"type": "chart", "data": "AAAA", "mimeType": "image/png"},
        {"data": "AAAA", "mimeType": "image/png"},
    ],
)
def test_other_parts_with_data_are_none(part: dict[str, Any]) -> None:
    assert parts(interaction(part)) == []
    assert parts({"input": [{"type": "function_result", "result": {"content": [part]}}]}) == []


def test_of_a_result_only_typed_images_are_read() -> None:
    """It may be any object: what it means by other keys is not known."""
    result = {"image_url": "https://a", "source": {"url": "https://b"}, "Content": [], "content": [image()]}
    body = {"input": [{"type": "function_result", "Result": {}, "result": result}]}
    before = copy.deepcopy(body)
    assert [part.name for part in parts(body)] == ["input[0].result.content[0].data"]
    check_clear(body)
    assert body == before
