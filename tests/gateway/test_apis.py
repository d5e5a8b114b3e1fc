"""Clients of OpenAI's, Anthropic's and Gemini's APIs, through an edge and a gateway, to a model server."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from gateway_client import CODED, SEEN, serving
from gateway_parts import saved
from gateway_servers import Model, data_url, jpeg, running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from synthetic import picture

import cotam
from cotam.gateway.for_api import ForApi
from cotam.gateway.for_model import ForModel
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.to_cotam import ToCotam

anthropic = pytest.importorskip("anthropic")
genai = pytest.importorskip("google.genai")

PHOTO = jpeg(picture(200, 300))
DECODED = hashlib.sha256(cotam.decode(cotam.encode(PHOTO)).tobytes()).hexdigest()
CODED_TEXT = base64.b64encode(CODED).decode()
GEMINI = {"contents": {"parts": {"inlineData": {"mimeType": "image/vnd.cotam", "data": CODED_TEXT}}}}
PHOTO_TEXT = base64.b64encode(PHOTO).decode()


@pytest.fixture
def gateway(upstream: str) -> Iterator[str]:
    with serving(upstream, ForModel(10**7), tokens=["s3cret"], page=True) as address:
        yield address


@pytest.fixture
def edge(gateway: str) -> Iterator[str]:
    with serving(gateway, ToCotam(RequestOptions(), 10**7), token="s3cret", local=True) as address:
        yield address


def block(data: str, media_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
    """An image as Anthropic's API has it."""
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": media_type, "data": data},
    } | more


def rows_of(text: str) -> list[tuple[str, str]]:
    return [(row["type"], row["pixels"]) for row in json.loads(text)]


def test_anthropic_messages(edge: str, model: Model) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    call = {"type": "tool_use", "id": "t", "name": "screenshot", "input": {"image_url": "https://a/b.png"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block(PHOTO_TEXT)]}
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Look."}, block(PHOTO_TEXT, **cached)]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    with anthropic.Anthropic(base_url=edge, api_key="sk-ant", max_retries=0) as client:
        answer = client.messages.with_raw_response.create(model="echo", max_tokens=9, messages=turns)
    assert rows_of(answer.parse().content[0].text) == [("image/png", DECODED)] * 2
    sent_in, sent_out = map(int, answer.headers["x-cotam-bytes"].split(","))
    assert sent_out < sent_in / 2
    sent = json.loads(model.bodies[-1])
    assert sent["messages"][0]["content"][1]["cache_control"] == {"type": "ephemeral"}
    assert sent["messages"][1]["content"] == [call]
    assert [one["type"] for one in sent["messages"][0]["content"]] == ["text", "image"]
    assert "sk-ant" in {model.headers[-1].get("x-api-key"), model.headers[-1].get("authorization", "")[7:]}


def test_an_image_that_must_not_be_shrunk_keeps_its_size(upstream: str, gateway: str) -> None:
    """Anthropic's API is to refuse it: coordinates in the smaller one would be wrong."""
    large = base64.b64encode(saved(picture(40, 1700))).decode()
    turns: Any = [
        {"role": "user", "content": [block(large, transformations={"oversized_image": what})]}
        for what in ("error", "downsize")
    ]
    to_api = ForApi("jpeg", "claude-4.6", 10**6, 10**6, 10**7)
    to_gateway = ToCotam(RequestOptions(fit="claude-4.6"), 10**7)
    for address, converter in ((upstream, to_api), (gateway, to_gateway)):
        with serving(address, converter, token="s3cret") as edge:
            body = {"model": "echo", "max_tokens": 9, "messages": turns}
            answer = httpx2.post(f"{edge}/v1/messages", json=body).json()
        widths = [row["size"][0] for row in json.loads(answer["content"][0]["text"])]
        assert widths == [1700, 1568]


def test_masks_of_image_edits_keep_their_transparency(upstream: str, gateway: str, model: Model) -> None:
    pixels = np.dstack([picture(90, 130), np.tile(np.uint8([0, 255]), (90, 65))])
    mask = {"image_url": data_url("image/png", saved(pixels))}
    body = {"model": "gpt-4o", "prompt": "?", "images": [{"image_url": data_url("image/jpeg", PHOTO)}]}
    to_api, to_gateway = ForApi("jpeg", "llava-1.5", 5000, 10**6, 10**7), ToCotam(RequestOptions(), 10**7)
    for address, converter in ((upstream, to_api), (gateway, to_gateway)):
        with serving(address, converter, token="s3cret") as edge:
            httpx2.post(f"{edge}/v1/images/edits", json=body | {"mask": mask})
        sent = json.loads(model.bodies[-1])
        assert sent["mask"] == mask
        assert sent["images"] != body["images"]


@pytest.mark.parametrize(("stream", "version"), [(False, "v1beta"), (True, "v1beta"), (False, "v1")])
def test_gemini_generate_content(edge: str, model: Model, stream: bool, version: str) -> None:
    options = genai.types.HttpOptions(base_url=edge, api_version=version)
    client = genai.Client(api_key="g-key", http_options=options)
    contents = ["Look.", genai.types.Part.from_bytes(data=PHOTO, mime_type="image/jpeg")]
    if stream:
        chunks = client.models.generate_content_stream(model="gemini-3-pro", contents=contents)
        text = "".join(chunk.text or "" for chunk in chunks)
    else:
        text = client.models.generate_content(model="gemini-3-pro", contents=contents).text or ""
    client.close()
    assert rows_of(text) == [("image/png", DECODED)]
    call = "streamGenerateContent?alt=sse" if stream else "generateContent?"
    assert model.paths[-1] == f"/{version}/models/gemini-3-pro:{call}"
    assert model.headers[-1]["x-goog-api-key"] == "g-key"


def test_openai_responses_with_outputs_of_tools_and_computers(edge: str) -> None:
    shown: Any = {"type": "input_image", "image_url": data_url("image/jpeg", PHOTO), "detail": "high"}
    screen: Any = {"type": "computer_screenshot", "image_url": data_url("image/jpeg", PHOTO)}
    turns: Any = [
        {"role": "user", "content": [shown]},
        {"type": "function_call_output", "call_id": "f", "output": [shown]},
        {"type": "computer_call_output", "call_id": "c", "output": screen},
    ]
    with openai.OpenAI(base_url=f"{edge}/v1", api_key="sk", max_retries=0) as client:
        answer = client.responses.create(model="echo", input=turns)
    assert rows_of(answer.output_text) == [("image/png", DECODED)] * 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"messages": [{"content": [block(CODED_TEXT, "image/vnd.cotam")]}]}),
        ("/v1/messages/count_tokens", {"messages": [{"content": [block(CODED_TEXT, "image/png")]}]}),
        (
            "/v1/messages/batches",
            {"requests": [{"params": {"messages": [{"content": [block(CODED_TEXT)]}]}}]},
        ),
        ("/v1/embeddings", {"messages": [{"content": [{"image_url": data_url("image/vnd.cotam", CODED)}]}]}),
        ("/v1/embeddings", {"input": [{"text": "t", "image": data_url("image/vnd.cotam", CODED)}]}),
        ("/v1/score", {"data_2": {"content": [{"image_url": {"url": data_url("", CODED)}}]}}),
        ("/v1/responses/input_tokens", {"input": [{"content": [{"image_url": data_url("a/b", CODED)}]}]}),
        ("/v1/conversations/c/items", {"items": [{"content": [{"image_url": data_url("a/b", CODED)}]}]}),
        (
            "/v1/threads/runs",
            {"thread": {"messages": [{"content": [{"image_url": {"url": data_url("a/b", CODED)}}]}]}},
        ),
        ("/v1/ocr", {"document": {"type": "image_url", "image_url": data_url("a/b", CODED)}}),
        (
            "/v1beta/models/g:batchGenerateContent",
            {"batch": {"input_config": {"requests": {"requests": [{"request": GEMINI}]}}}},
        ),
        ("/v1beta/models/g:countTokens", {"contents": [{"parts": [{"inline_data": {"data": CODED_TEXT}}]}]}),
        (
            "/v1beta/models/g:generateContent",
            GEMINI,
        ),
        (
            "/v1beta/models/g:batchEmbedContents",
            {"requests": [{"content": {"parts": [{"inlineData": {"mimeType": "", "data": CODED_TEXT}}]}}]},
        ),
    ],
)
def test_cotam_is_decoded_on_all_paths(gateway: str, model: Model, path: str, body: Any) -> None:
    answer = httpx2.post(gateway + path, json=body | {"model": "m"}, headers={"x-cotam-token": "s3cret"})
    assert answer.status_code == 200, answer.text
    sent = model.bodies[-1].decode()
    assert CODED_TEXT[:20] not in sent
    assert "iVBORw0KGgo" in sent
    assert "image/vnd.cotam" not in sent


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        (
            "/v1/embeddings",
            {},
            json.dumps({"input": [{"picture": data_url("image/vnd.cotam", CODED)}]}).encode(),
        ),
        ("/v1/embeddings", {}, json.dumps({"input": [CODED_TEXT]}).encode()),
        ("/v1/embeddings", {"content-type": "application/json"}, json.dumps(CODED_TEXT).encode()),
        ("/v1/chat/completions", {}, json.dumps({"messages": [{"images": [CODED_TEXT]}]}).encode()),
        (
            "/v1/completions",
            {},
            json.dumps({"prompt": f"![]({data_url('image/vnd.cotam', CODED)})What?"}).encode(),
        ),
        ("/v1/files", {"content-type": "image/vnd.cotam"}, CODED),
        (
            "/v1/images/edits",
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + CODED + b"\r\n--b--\r\n",
        ),
        (
            "/v1/files",
            {},
            b'{"custom_id": 1}\n{"url": "' + data_url("image/vnd.cotam", CODED).encode() + b'"}',
        ),
    ],
)
def test_cotam_at_other_places_is_refused(
    gateway: str, model: Model, path: str, headers: dict[str, str], body: bytes
) -> None:
    token = {"x-cotam-token": "s3cret"}
    answer = httpx2.post(gateway + path, content=body, headers=token | headers)
    assert answer.status_code == 400
    assert ".cotam" in answer.json()["error"]["message"]
    assert not model.bodies


def test_addresses_are_refused_on_all_paths_but_not_in_arguments_of_tools(gateway: str, model: Model) -> None:
    token = {"x-cotam-token": "s3cret"}
    away = "http://169.254.169.254/latest"
    source = {"type": "url", "url": away}
    for path, body in (
        ("/v1/messages", {"messages": [{"content": [{"type": "image", "source": source}]}]}),
        ("/v1/messages", {"messages": [{"content": [{"type": "document", "source": source}]}]}),
        ("/v1beta/models/g:generateContent", {"contents": [{"parts": [{"fileData": {"fileUri": away}}]}]}),
        ("/v1/embeddings", {"messages": [{"content": [{"image_url": {"url": away}}]}]}),
        ("/v1/chat%2Fcompletions", {"messages": [{"content": [{"image_url": {"url": away}}]}]}),
    ):
        answer = httpx2.post(gateway + path, json=body, headers=token)
        assert answer.status_code == 400
        assert "addresses of 169.254.169.254 are not allowed" in answer.text
    assert not model.bodies
    call = {"type": "tool_use", "id": "t", "name": "fetch", "input": {"image_url": away, "source": source}}
    body = {"model": "m", "messages": [{"role": "assistant", "content": [call]}]}
    assert httpx2.post(gateway + "/v1/messages", json=body, headers=token).status_code == 200


def test_errors_have_the_form_of_each_api(gateway: str) -> None:
    token = {"x-cotam-token": "s3cret"}
    wrong = block(CODED_TEXT[:80], "image/vnd.cotam")
    answer = httpx2.post(
        f"{gateway}/v1/messages", json={"messages": [{"content": [wrong]}]}, headers=token
    ).json()
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"].startswith("messages[0].content[0].source: ")
    inline = {"contents": [{"parts": [{"inlineData": {"mimeType": "image/vnd.cotam", "data": "AAAA"}}]}]}
    answer = httpx2.post(f"{gateway}/v1beta/models/g:generateContent", json=inline, headers=token).json()
    assert (answer["error"]["code"], answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    with (
        anthropic.Anthropic(base_url=gateway, api_key="wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError, match="not this Cotam gateway's token"),
    ):
        client.messages.create(model="echo", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def test_the_token_may_stand_where_each_api_has_its_key(gateway: str, model: Model) -> None:
    with anthropic.Anthropic(base_url=gateway, api_key="s3cret", max_retries=0) as client:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    assert not {"x-api-key", "authorization"} & model.headers[-1].keys()
    client = genai.Client(api_key="s3cret", http_options=genai.types.HttpOptions(base_url=gateway))
    client.models.generate_content(model="gemini-3-pro", contents="hi")
    client.close()
    assert "x-goog-api-key" not in model.headers[-1]


def test_the_upstream_key_takes_the_place_of_the_clients(upstream: str, model: Model) -> None:
    with serving(upstream, ForModel(10**6), key="sk-up") as address:
        httpx2.post(
            f"{address}/v1/messages",
            json={"model": "m", "messages": []},
            headers={"authorization": "Bearer a"},
        )
    assert model.headers[-1]["authorization"] == "Bearer sk-up"
    assert "x-api-key" not in model.headers[-1]


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/v1/chat/completions", ("authorization", "Bearer sk-up")),
        ("/v1/messages", ("x-api-key", "sk-up")),
        ("/v1beta/models/g:generateContent", ("x-goog-api-key", "sk-up")),
        ("/v1beta/interactions", ("x-goog-api-key", "sk-up")),
        ("/v1/interactions", ("x-goog-api-key", "sk-up")),
    ],
)
def test_the_upstream_key_goes_where_the_api_has_it(
    upstream: str, model: Model, path: str, header: tuple[str, str]
) -> None:
    with serving(upstream, ForModel(10**6), key="sk-up") as address:
        given = {"authorization": "Bearer a", "x-api-key": "b", "x-goog-api-key": "c"}
        httpx2.post(address + path, json={"model": "m", "messages": [], "contents": []}, headers=given)
    names = ("authorization", "x-api-key", "x-goog-api-key")
    assert [(name, model.headers[-1][name]) for name in names if name in model.headers[-1]] == [header]


def test_frames_are_written_in_the_way_of_each_api(gateway: str, model: Model) -> None:
    frames = [np.full((32, 48, 3), 40 * number, np.uint8) for number in range(3)]
    sequence = b"".join(cotam.encode_frames([(float(n), frame) for n, frame in enumerate(frames)]))
    text = base64.b64encode(sequence).decode()
    token = {"x-cotam-token": "s3cret"}
    cached = {"cache_control": {"type": "ephemeral"}}
    body: Any = {"model": "m", "messages": [{"content": [block(text, "image/vnd.cotam", **cached)]}]}
    assert httpx2.post(f"{gateway}/v1/messages", json=body, headers=token).status_code == 200
    content = json.loads(model.bodies[-1])["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image"] * 3
    assert ["cache_control" in part for part in content] == [False] * 5 + [True]
    body = {"contents": [{"parts": [{"inlineData": {"mimeType": "image/vnd.cotam", "data": text}}]}]}
    assert (
        httpx2.post(f"{gateway}/v1beta/models/g:generateContent", json=body, headers=token).status_code == 200
    )
    found = json.loads(model.bodies[-1])["contents"][0]["parts"]
    assert [part.get("text") or part["inlineData"]["mimeType"] for part in found[:2]] == [
        "<0.0 seconds>",
        "image/png",
    ]
    url = data_url("image/vnd.cotam", sequence)
    part = {"type": "video_url", "video_url": {"url": url}, "uuid": "clip-1"}
    body = {"model": "m", "messages": [{"content": [part]}]}
    assert httpx2.post(f"{gateway}/v1/chat/completions", json=body, headers=token).status_code == 200
    content = json.loads(model.bodies[-1])["messages"][0]["content"]
    assert [part.get("uuid") for part in content[1::2]] == ["clip-1-0", "clip-1-1", "clip-1-2"]


def test_a_uuid_stays_on_an_image_and_a_part_without_data_passes(gateway: str, model: Model) -> None:
    shown = {"type": "image_url", "image_url": {"url": data_url("image/vnd.cotam", CODED)}, "uuid": "one"}
    held = {"type": "image_url", "image_url": None, "uuid": "one"}
    body = {"model": "m", "messages": [{"content": [shown, held]}]}
    answer = httpx2.post(f"{gateway}/v1/chat/completions", json=body, headers={"x-cotam-token": "s3cret"})
    assert rows_of(answer.json()["choices"][0]["message"]["content"]) == [("image/png", SEEN)]
    content = json.loads(model.bodies[-1])["messages"][0]["content"]
    assert (content[0]["uuid"], content[1]) == ("one", held)


def test_uploads_of_geminis_client() -> None:
    content = [{"image_url": data_url("image/png", PHOTO)}]  # which would be corrected in a request
    file = json.dumps({"messages": [{"content": content}]}).encode()
    received: list[bytes] = []

    async def upload(request: Request) -> Response:
        if "upload_id" not in request.query_params:
            url = "https://gemini.example/upload/v1beta/files?upload_id=1&upload_protocol=resumable"
            return JSONResponse({}, headers={"x-goog-upload-url": url})
        received.append(await request.body())
        row = {"name": "files/1", "sizeBytes": str(len(received[0]))}
        return JSONResponse({"file": row}, headers={"x-goog-upload-status": "final"})

    api = Starlette(routes=[Route("/upload/v1beta/files", upload, methods=["POST"])])
    converter = ForApi("jpeg", "auto", None, None, 10**7)
    with (
        running(api) as upstream,
        serving(upstream, converter, local=True) as address,
    ):
        # With the address here too, the client sends the bytes to it, wherever the API says.
        options = {"base_url": address, "api_version": "v1beta"}
        config: Any = {"mime_type": "application/json", "http_options": options}
        with genai.Client(api_key="g-key", http_options=options) as client:
            found = client.files.upload(file=io.BytesIO(file), config=config)
        refused = httpx2.post(f"{address}/upload/v1beta/files", content=CODED)
    assert (found.size_bytes, received) == (len(file), [file])
    assert refused.status_code == 400
    assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
