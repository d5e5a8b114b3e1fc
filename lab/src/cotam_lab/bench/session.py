"""``python -m cotam_lab.bench.session``: bytes between edge and gateway in a session of an agent.

::

    client ─► cotam edge ─► link, counted ─► cotam serve ─► model server, recorded

Each turn sends one more screenshot and repeats all before it. Restarts, full stores and other clients are
tested in tests/gateway/test_send_once.py.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import openai
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cotam_lab.bench.link import Link
from cotam_lab.bench.service import cotam_program, image_files, serving

__all__ = ["main"]

QUESTION = "What is on the screen? Which element do I click next to go on with the installation?"
ANSWER = "There is a window with a list of files. Click on the entry in the middle of it."


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--edge", "options", multiple=True, help="An option of cotam edge.  [repeatable]")
@click.option("--most", type=int, help="Fail if more bytes than this are sent on the link.")
def main(folder: Path, options: tuple[str, ...], most: int | None) -> None:
    """Play a session with the screenshots in FOLDER, in the order of their names.

    Exit code 1 if an image is missing in a turn, if one changes from turn to turn, or with --most.
    """
    images = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    turns: list[list[str]] = []
    total = 0
    click.echo(f"{'turn':>4}{'client':>13}{'link, sent':>13}{'received':>10}{'seconds':>9}")
    with (
        serving(_model_server(turns)) as model,
        cotam_program("serve", "--upstream", model) as gateway,
        Link(int(gateway.rpartition(":")[2])) as link,
        cotam_program("edge", "--gateway", link.address, *options) as edge,
    ):
        for number in range(1, len(images) + 1):
            sent, received = link.sent, link.received
            started = time.perf_counter()
            size = _ask(edge, images[:number])
            seconds = time.perf_counter() - started
            time.sleep(0.05)  # what is still on its way back
            sent, received = link.sent - sent, link.received - received
            click.echo(f"{number:>4}{size:>13,}{sent:>13,}{received:>10,}{seconds:>9.2f}")
            total += size
        click.echo(f"{'all':>4}{total:>13,}{link.sent:>13,}{link.received:>10,}")
    wrong = list(_wrong(turns))
    if most is not None and link.sent > most:
        wrong.append(f"{link.sent:,} bytes were sent, more than {most:,}")
    for line in wrong:
        click.echo(line, err=True)
    click.echo("every image in every turn, the same bytes each time" if not wrong else "FAILED")
    sys.exit(1 if wrong else 0)


def _ask(edge: str, images: Sequence[bytes]) -> int:
    """Take a turn; return the bytes of the client's body."""
    messages: list[Any] = []
    for image in images:
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
        messages += [{"role": "user", "content": parts}, {"role": "assistant", "content": ANSWER}]
    with openai.OpenAI(base_url=f"{edge}/v1", api_key="none", timeout=600) as client:
        request = client.chat.completions.with_raw_response
        answer = request.create(model="m", messages=messages[:-1])
    assert answer.parse().choices[0].message.content == ANSWER
    return int(answer.headers["x-cotam-bytes"].partition(",")[0])


def _wrong(turns: Sequence[Sequence[str]]) -> Iterator[str]:
    for number, digests in enumerate(turns, 1):
        if len(digests) != number:
            yield f"turn {number}: the model got {len(digests)} images"
        for image, digest in enumerate(digests, 1):
            if turns[image - 1][image - 1 : image] != [digest]:
                yield f"turn {number}: image {image} is not as it was in turn {image}"


def _model_server(turns: list[list[str]]) -> Starlette:
    """A server that keeps the SHA-256 of the images of each request, which must be PNG."""

    async def answer(request: Request) -> JSONResponse:
        files = list(image_files(await request.json()))
        assert all(file.startswith(b"\x89PNG") for file in files)
        turns.append([hashlib.sha256(file).hexdigest() for file in files])
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        message = {"role": "assistant", "content": ANSWER}
        return JSONResponse(head | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


if __name__ == "__main__":
    main()
