"""``python -m cotam_lab.bench.session``: bytes between edge and gateway in a session of an agent.

::

    client ─► cotam edge ─► link, counted ─► cotam serve ─► model server, recorded

Each turn sends one more screenshot and repeats all before it, with the client library of one of three APIs.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cotam_lab.bench.link import Link
from cotam_lab.bench.service import anthropic_turns, cotam_program, image_files, serving

__all__ = ["main"]

QUESTION = "What is on the screen? Which element do I click next to go on with the installation?"
ANSWER = "There is a window with a list of files. Click on the entry in the middle of it."


@dataclass
class Turn:
    """A turn: bytes on the link with headers, bytes of the client's body, images that arrived."""

    sent: int
    received: int
    base64: int
    seconds: float
    digests: list[str]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--client",
    "api",
    type=click.Choice(["openai", "anthropic", "gemini"]),
    default="openai",
    show_default=True,
)
@click.option("--kill", type=click.IntRange(2), help="Kill the gateway before this turn, and start it again.")
@click.option(
    "--kill-edge", type=click.IntRange(2), help="Kill the edge before this turn, and start it again."
)
@click.option("--disk", is_flag=True, help="Store the gateway's images on disk.")
@click.option("--two", is_flag=True, help="Put two gateways behind one address, which take turns.")
@click.option("--edge", "edge_options", multiple=True, help="An option of cotam edge.  [repeatable]")
@click.option("--serve", "serve_options", multiple=True, help="An option of cotam serve.  [repeatable]")
@click.option("--most", type=int, help="Fail if more bytes than this are sent on the link.")
def main(
    folder: Path,
    api: str,
    kill: int | None,
    kill_edge: int | None,
    disk: bool,
    two: bool,
    edge_options: tuple[str, ...],
    serve_options: tuple[str, ...],
    most: int | None,
) -> None:
    """Play a session with the screenshots in FOLDER, in the order of their names.

    Exit code 1 if an image is missing in a turn, if one changes from turn to turn, or with --most.
    """
    images = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    session = _Session(api, edge_options, serve_options, disk=disk, gateways=2 if two else 1)
    click.echo(f"{'turn':>4}{'client':>13}{'link, sent':>13}{'received':>10}{'seconds':>9}")
    turns = []
    with session.running():
        for number in range(1, len(images) + 1):
            if number == kill:
                session.restart_gateways()
            if number == kill_edge:
                session.restart_edge()
            turns.append(session.turn(images[:number], number))
            last = turns[-1]
            click.echo(
                f"{number:>4}{last.base64:>13,}{last.sent:>13,}{last.received:>10,}{last.seconds:>9.2f}"
            )
    sent = sum(turn.sent for turn in turns)
    total = sum(turn.base64 for turn in turns)
    click.echo(f"{'all':>4}{total:>13,}{sent:>13,}{sum(turn.received for turn in turns):>10,}")
    wrong = list(_wrong(turns))
    if most is not None and sent > most:
        wrong.append(f"{sent:,} bytes were sent, more than {most:,}")
    for line in wrong:
        click.echo(line, err=True)
    click.echo("every image in every turn, the same bytes each time" if not wrong else "FAILED")
    sys.exit(1 if wrong else 0)


def _wrong(turns: Sequence[Turn]) -> Iterator[str]:
    for number, turn in enumerate(turns, 1):
        if len(turn.digests) != number:
            yield f"turn {number}: the model got {len(turn.digests)} images"
        for image, digest in enumerate(turn.digests, 1):
            if turns[image - 1].digests[image - 1 : image] != [digest]:
                yield f"turn {number}: image {image} is not as it was in turn {image}"


class _Session:
    """Client, edge, link, gateway and model server."""

    def __init__(
        self,
        api: str,
        edge_options: Sequence[str],
        serve_options: Sequence[str],
        *,
        disk: bool,
        gateways: int,
    ) -> None:
        self._ask = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}[api]
        self._edge_options, self._serve_options = edge_options, serve_options
        self._disk, self._count = disk, gateways
        self._seen: list[list[str]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            self._model = stack.enter_context(serving(_model_server(self._seen)))
            self._folder = stack.enter_context(tempfile.TemporaryDirectory())
            self._gateways = stack.enter_context(ExitStack())
            self._link = stack.enter_context(Link([]))
            self.restart_gateways()
            self._edges = stack.enter_context(ExitStack())
            self.restart_edge()
            yield

    def restart_gateways(self) -> None:
        self._gateways.close()
        ports = []
        for number in range(self._count):
            options = [*self._serve_options]
            if self._disk:
                options += ["--store-folder", f"{self._folder}/{number}"]
            program, address = self._gateways.enter_context(
                cotam_program("serve", "--upstream", self._model, *options)
            )
            self._gateways.callback(program.kill)
            ports.append(int(address.rpartition(":")[2]))
        self._link.ports = ports

    def restart_edge(self) -> None:
        self._edges.close()
        program, self._edge = self._edges.enter_context(
            cotam_program("edge", "--gateway", self._link.address, *self._edge_options)
        )
        self._edges.callback(program.kill)

    def turn(self, images: Sequence[bytes], number: int) -> Turn:
        before = self._link.sent, self._link.received
        started = time.perf_counter()
        size = self._ask(self._edge, images)
        seconds = time.perf_counter() - started
        time.sleep(0.05)  # what is still on its way back
        sent, received = self._link.sent - before[0], self._link.received - before[1]
        if len(self._seen) != number:
            raise click.ClickException(f"the model server got {len(self._seen)} requests in {number} turns")
        return Turn(sent, received, size, seconds, self._seen[-1])


def _openai(edge: str, images: Sequence[bytes]) -> int:
    import openai

    messages: list[Any] = []
    for image in images:
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
        messages += [{"role": "user", "content": parts}, {"role": "assistant", "content": ANSWER}]
    with openai.OpenAI(base_url=f"{edge}/v1", api_key="none", timeout=600) as client:
        request = client.chat.completions.with_raw_response
        answer = request.create(model="m", messages=messages[:-1])
    assert answer.parse().choices[0].message.content == ANSWER
    return _bytes_in(answer.headers)


def _anthropic(edge: str, images: Sequence[bytes]) -> int:
    import anthropic

    with anthropic.Anthropic(base_url=edge, api_key="none", timeout=600) as client:
        request = client.messages.with_raw_response
        answer = request.create(model="m", max_tokens=100, messages=anthropic_turns(images, QUESTION))
    found = answer.parse().content[0]
    assert found.type == "text"
    assert found.text == ANSWER
    return _bytes_in(answer.headers)


def _gemini(edge: str, images: Sequence[bytes]) -> int:
    from google import genai
    from google.genai import types

    contents: list[Any] = []
    for image in images:
        parts = [types.Part(text=QUESTION), types.Part.from_bytes(data=image, mime_type="image/png")]
        contents += [types.Content(role="user", parts=parts)]
        contents += [types.Content(role="model", parts=[types.Part(text=ANSWER)])]
    options = types.HttpOptions(base_url=edge, timeout=600_000)
    with genai.Client(api_key="none", http_options=options) as client:
        answer = client.models.generate_content(model="gemini-3", contents=contents[:-1])
    assert answer.text == ANSWER
    assert answer.sdk_http_response
    assert answer.sdk_http_response.headers
    return _bytes_in(answer.sdk_http_response.headers)


def _bytes_in(headers: Any) -> int:
    return int(headers["x-cotam-bytes"].partition(",")[0])


def _model_server(seen: list[list[str]]) -> Starlette:
    """A server of three APIs that keeps the SHA-256 of the images of each request."""
    openai = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}
    anthropic: dict[str, Any] = {"id": "1", "type": "message", "role": "assistant", "model": "m"}
    anthropic |= {
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
        "stop_sequence": None,
    }
    candidate = {"content": {"role": "model", "parts": [{"text": ANSWER}]}, "finishReason": "STOP"}
    answers: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": openai | {"choices": [choice]},
        "/v1/messages": anthropic | {"content": [{"type": "text", "text": ANSWER}]},
        "/{version}/models/{model:path}": {"candidates": [candidate]},
    }

    def route(path: str, answer: dict[str, Any]) -> Route:
        async def handle(request: Request) -> JSONResponse:
            seen.append([_digest(image) for image in image_files(await request.json())])
            return JSONResponse(answer)

        return Route(path, handle, methods=["POST"])

    return Starlette(routes=[route(path, answer) for path, answer in answers.items()])


def _digest(image: bytes) -> str:
    if not image.startswith(b"\x89PNG"):
        raise ValueError(f"the model got {image[:8]!r}, not PNG")
    return hashlib.sha256(image).hexdigest()


if __name__ == "__main__":
    main()
