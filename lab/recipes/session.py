"""Play a session of an agent with screenshots, for `send_once.sh` and `hosted_session.sh`.

::

    Anthropic's client ─► cotam edge ─► [cotam serve, with --gateway] ─► a server that keeps what it gets

Each turn sends one more screenshot as the result of a tool, and repeats all before it.
"""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from socket import create_server
from typing import Any

import anthropic
import click
import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cotam.compare.words import share_read
from cotam.image import models
from cotam_lab.metrics.tesseract import read_with_tesseract

LAST = 3  # screenshots at the end of a turn whose words are read


@contextmanager
def model_server(turns: list[list[bytes]]) -> Iterator[str]:
    """Serve Anthropic's API from a thread; keep the image files of each request. Yields the address."""

    async def answer(request: Request) -> JSONResponse:
        messages = (await request.json())["messages"][2::2]
        sources = [message["content"][0]["content"][0]["source"] for message in messages]
        turns.append([base64.b64decode(source["data"]) for source in sources])
        head = {"id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return JSONResponse(head | {"content": [{"type": "text", "text": "Done."}], "usage": usage})

    app = Starlette(routes=[Route("/v1/messages", answer, methods=["POST"])])
    with create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """Run ``cotam …``. Yields its address."""
    command = [sys.executable, "-m", "cotam", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        lines = running.stderr
        url = json.loads(lines.readline())["url"]
        reader = threading.Thread(target=lambda: [None for _ in lines], daemon=True)  # or its pipe fills
        reader.start()
        try:
            yield url
        finally:
            running.terminate()
            reader.join()


def conversation(images: Sequence[bytes]) -> list[Any]:
    """Return messages of an agent: each PNG is the result of a tool."""
    turns: list[Any] = [{"role": "user", "content": "Install the program."}]
    for number, image in enumerate(images):
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}
        use = {"type": "tool_use", "id": f"t{number}", "name": "computer", "input": {"action": "screenshot"}}
        block = {"type": "image", "source": source}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": [block]}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return turns


@cache
def words(image: bytes) -> list[str]:
    return read_with_tesseract(np.array(Image.open(BytesIO(image)).convert("RGB")))


def least_share(pairs: Iterable[tuple[bytes, bytes]]) -> float:
    """Return the smallest share of the words of an original that is read in what was sent."""
    shares = [share_read(words(original), words(sent)) for original, sent in pairs]
    return min((share for share in shares if share is not None), default=1.0)


def refused(model: str, sizes: Sequence[int], turns: Sequence[Sequence[bytes]]) -> Iterator[str]:
    """Say which requests the model's API would refuse."""
    limits = models.get(model).limits
    for number, (size, images) in enumerate(zip(sizes, turns, strict=True), 1):
        if limits.request_bytes and size > limits.request_bytes:
            yield f"turn {number}: {size:,} bytes, more than {limits.request_bytes:,}"
        if limits.file_bytes and (largest := max(map(len, images))) > limits.file_bytes:
            yield f"turn {number}: an image of {largest:,} bytes, more than {limits.file_bytes:,}"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--gateway", is_flag=True, help="Send .cotam to a gateway; no image may change.")
@click.option("--model", default="claude-opus-4-7", show_default=True, help="Model that the client names.")
@click.option("--edge", "options", multiple=True, help="An option of cotam edge.  [repeatable]")
@click.option("--most", type=int, help="Fail if the edge sends more bytes than this.")
@click.option("--least-words", type=float, default=0.0, help="Fail if Tesseract reads a smaller share.")
def main(
    folder: Path, gateway: bool, model: str, options: tuple[str, ...], most: int | None, least_words: float
) -> None:
    """Play a session with the screenshots in FOLDER, in the order of their names."""
    images = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    turns: list[list[bytes]] = []
    sizes: list[tuple[int, int]] = []
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(turns))
        if gateway:
            upstream = stack.enter_context(program("serve", "--upstream", upstream))
        way = "--gateway" if gateway else "--upstream"
        edge = stack.enter_context(program("edge", way, upstream, *options))
        client = stack.enter_context(anthropic.Anthropic(base_url=edge, api_key="none", timeout=600))
        for number in range(1, len(images) + 1):
            messages = conversation(images[:number])
            answer = client.messages.with_raw_response.create(model=model, max_tokens=9, messages=messages)
            received, _, sent = answer.headers["x-cotam-bytes"].partition(",")
            sizes.append((int(received), int(sent)))
    found = [] if gateway else list(refused(model, [sent for _, sent in sizes], turns))
    print(f"{'turn':>4}{'client':>13}{'sent':>13}{'changed':>9}{'words':>7}")
    before: list[bytes] = []
    for number, (got, size) in enumerate(zip(turns, sizes, strict=True), 1):
        changed = sum(one != other for one, other in zip(before, got, strict=False))
        pairs = list(zip(images, got, strict=False))[-LAST:] if least_words else []
        share = least_share(pairs)
        print(f"{number:>4}{size[0]:>13,}{size[1]:>13,}{changed:>9}{share:>7.3f}")
        if len(got) != number:
            found.append(f"turn {number}: the model got {len(got)} images")
        if gateway and changed:
            found.append(f"turn {number}: {changed} images are not as they were")
        if share < least_words:
            found.append(f"turn {number}: {share:.3f} of the words, fewer than {least_words}")
        before = got
    client_bytes, total = (sum(numbers) for numbers in zip(*sizes, strict=True))
    print(f" all{client_bytes:>13,}{total:>13,}")
    if most is not None and total > most:
        found.append(f"{total:,} bytes were sent, more than {most:,}")
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
