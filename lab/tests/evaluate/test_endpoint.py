"""A real client against real servers: what is sent, and what happens when they fail."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_servers import Model, running
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from synthetic import picture

from cotam.errors import InputError
from cotam_lab.evaluate.backends import Coded, StoppedError
from cotam_lab.evaluate.endpoint import Endpoint


def failing(answers: list[Response]) -> tuple[Starlette, list[bytes]]:
    """A server that gives these answers in turn, the last for ever; and what it was asked."""
    asked: list[bytes] = []

    async def chat(request: Request) -> Response:
        asked.append(await request.body())
        return answers.pop(0) if len(answers) > 1 else answers[0]

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])]), asked


@contextmanager
def connected(app: Starlette, model: str | None = "m", **options: Any) -> Iterator[Endpoint]:
    """A client of a running server."""
    with running(app) as address, closing(Endpoint(f"{address}/v1/", model, **options)) as endpoint:
        yield endpoint


def said(text: str) -> Response:
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return JSONResponse({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage})


def test_images_arrive_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    model = Model()
    images = [picture(30, 40, 1), picture(20, 50, 2)]
    with connected(model.app, None) as endpoint:
        endpoint.prepare()
        endpoint.ask(images, "Which is older?", 17)
    assert endpoint.name == "echo"
    sent = json.loads(model.bodies[-1])
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("echo", 17, 0)
    (turn,) = sent["messages"]
    *shown, text = turn["content"]
    assert text == {"type": "text", "text": "Which is older?"}
    for part, pixels in zip(shown, images, strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert np.array_equal(np.asarray(image), pixels)
    assert model.headers[-1]["authorization"] == "Bearer sesame"


def test_tokens_are_those_of_the_server() -> None:
    app, _ = failing([said("  B \n")])
    with connected(app) as endpoint:
        reply = endpoint.ask([picture(8, 8)], "?", 5)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("B", 12, 3)


def test_what_may_pass_is_tried_again() -> None:
    app, asked = failing([Response("slow", 429), said("yes"), Response("busy", 503)])
    with connected(app, retries=1) as endpoint:
        assert endpoint.ask([], "?", 5).text == "yes"
        assert len(asked) == 2
        with pytest.raises(InputError, match="answers 503: busy"):
            endpoint.ask([], "?", 5)
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (lambda: Response("no such\nfield", 400), InputError, "answers 400: no such field"),
        (
            lambda: Response("who?", 401),
            StoppedError,
            r"answers 401 \(its key is taken from OPENAI_API_KEY\)",
        ),
        (lambda: Response("nothing", 404), StoppedError, "answers 404"),
        (lambda: JSONResponse({"choices": []}), InputError, "no answer in"),
        (lambda: Response("<html>"), InputError, "no answer in '<html>'"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(
    answer: Callable[[], Response], kind: type[Exception], message: str
) -> None:
    app, asked = failing([answer()])
    with connected(app) as endpoint, pytest.raises(kind, match=message):
        endpoint.ask([], "?", 5)
    assert len(asked) == 1


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with connected(Starlette()) as endpoint:
        endpoint.prepare()  # a name was given, so the list is not needed
    with (
        connected(Starlette(), None) as endpoint,
        pytest.raises(StoppedError, match="lists no model: give its"),
    ):
        endpoint.prepare()
    with running(Starlette()) as address:
        pass
    with (
        closing(Endpoint(f"{address}/v1", "m")) as endpoint,
        pytest.raises(StoppedError, match="does not answer"),
    ):
        endpoint.prepare()


def test_likelihoods_are_refused() -> None:
    with connected(Starlette()) as endpoint, pytest.raises(StoppedError, match="letters"):
        endpoint.losses([], "?", ["a", "b"])


def test_token_adapters_are_refused() -> None:
    with connected(Starlette()) as endpoint, pytest.raises(StoppedError, match="needs a local model"):
        endpoint.ask([], "?", 5, Coded((b"",), Path("adapter.safetensors")))
