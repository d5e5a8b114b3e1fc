"""A real client, the edge, the gateway and ``transformers serve`` with a small model, each a process."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import tiny_llava
from gateway_servers import jpeg, messages, process
from model_server import serving
from synthetic import picture

import cotam

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model name of a running server."""
    folder = tmp_path_factory.mktemp("model")
    tiny_llava.write(folder)
    with serving(folder) as address:
        yield address, str(folder)


def ask(address: str, model: str, turns: Any, *, stream: bool = False) -> str:
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=120) as client:
        given: Any = {"model": model, "messages": turns, "max_tokens": 24, "temperature": 0, "stream": stream}
        answer = client.chat.completions.create(**given)
        if stream:
            return "".join(event.choices[0].delta.content or "" for event in answer if event.choices)
        return answer.choices[0].message.content


def test_the_answer_is_that_of_the_model_on_the_decoded_picture(model: tuple[str, str]) -> None:
    upstream, name = model
    photos = [jpeg(picture(200, 300, seed)) for seed in range(3)]
    with (
        process("serve", "--upstream", upstream) as (_, cloud),
        process("edge", "--gateway", cloud) as (_, edge),
    ):
        answers = []
        for photo in photos:
            png = io.BytesIO()
            cotam.decode(cotam.encode(photo)).save(png, "PNG")
            turns = messages(photo)
            decoded = messages(photo)
            url = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
            decoded[0]["content"][1]["image_url"]["url"] = url
            expected = ask(upstream, name, decoded)
            assert ask(f"{edge}/v1", name, turns) == expected
            assert ask(f"{edge}/v1", name, turns, stream=True) == expected
            answers.append(expected)
    assert len(set(answers)) > 1  # or this would say nothing
    assert all(answers)
