"""A real client, the edge, the gateway and ``transformers serve`` with a small model, each a process."""

from __future__ import annotations

import base64
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import tiny_llava
from gateway_servers import jpeg, messages, process
from synthetic import picture

import cotam

for name in ("transformers", "torch", "fastapi", "typer"):
    pytest.importorskip(name)

SERVER = shutil.which("transformers", path=Path(sys.executable).parent)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SERVER, reason="needs transformers[serving]")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model name of a running server."""
    folder = tmp_path_factory.mktemp("model")
    tiny_llava.write(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [SERVER, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as program:
        address = f"http://127.0.0.1:{port}"
        for _ in range(900):
            assert program.poll() is None
            try:
                if httpx2.get(f"{address}/health").status_code == 200:
                    break
            except httpx2.HTTPError:
                time.sleep(0.2)
        yield f"{address}/v1", str(folder)
        program.terminate()


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
