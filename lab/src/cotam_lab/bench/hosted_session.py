"""``python -m cotam_lab.bench.hosted_session``: an agent's session through ``cotam edge --upstream``.

Each turn sends one more screenshot and repeats all before it, as Anthropic's client does with tool results.
Prints the size of requests, how many images changed since the previous turn (each a miss of a provider's
prompt cache), and the share of words of the last three screenshots that Tesseract still reads.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import anthropic
import click
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cotam.image import models
from cotam_lab.bench.service import anthropic_turns, cotam_program, image_files, serving

__all__ = ["main"]

LAST = 3
"""Screenshots at the end of a turn whose words are read."""

Body = tuple[int, list[bytes]]
"""Bytes of a request, and its image files in order."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="claude-opus-4-7", show_default=True, help="Model that the client names.")
@click.option("--edge", "options", multiple=True, help="An option of cotam edge.  [repeatable]")
@click.option("--least-words", type=float, default=0.97, show_default=True, help="Fail below this share.")
def main(folder: Path, model: str, options: tuple[str, ...], least_words: float) -> None:
    """Play a session with the screenshots in FOLDER, in the order of their names.

    Exit code 1 if a request is above the limits of the model's API, or too few words are read.
    """
    images = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    limits = models.get(model).limits
    seen: list[Body] = []
    with (
        serving(_api(seen)) as upstream,
        cotam_program("edge", "--upstream", upstream, *options) as edge,
        anthropic.Anthropic(base_url=edge, api_key="none", timeout=600) as client,
    ):
        for number in range(1, len(images) + 1):
            messages = anthropic_turns(images[:number], "Install the program.")
            client.messages.create(model=model, max_tokens=9, messages=messages)
    click.echo(f"{'turn':>4}{'request':>12}{'changed':>9}{'words':>8}")
    wrong: list[str] = []
    before: list[bytes] = []
    for number, (size, sent) in enumerate(seen, 1):
        changed = sum(one != other for one, other in zip(before, sent, strict=False))
        share = min(_kept(*pair) for pair in list(zip(images, sent, strict=False))[-LAST:])
        click.echo(f"{number:>4}{size:>12,}{changed:>9}{share:>8.3f}")
        largest = max(map(len, sent))
        if limits.request_bytes and size > limits.request_bytes:
            wrong.append(f"turn {number}: {size:,} bytes, more than {limits.request_bytes:,}")
        if limits.file_bytes and largest > limits.file_bytes:
            wrong.append(f"turn {number}: an image of {largest:,} bytes, more than {limits.file_bytes:,}")
        if share < least_words:
            wrong.append(f"turn {number}: {share:.3f} of the words, fewer than {least_words}")
        before = sent
    for line in wrong:
        click.echo(line, err=True)
    sys.exit(1 if wrong else 0)


def _kept(original: bytes, sent: bytes) -> float:
    """The share of an original's words that are read in another file of the image."""
    if original == sent:
        return 1.0
    words = _words(original)
    return (words & _words(sent)).total() / max(words.total(), 1)


@cache
def _words(image: bytes) -> Counter[str]:
    command = ["tesseract", "stdin", "stdout", "--psm", "11"]
    result = subprocess.run(command, input=image, capture_output=True, check=True)
    return Counter(result.stdout.decode().split())


def _api(seen: list[Body]) -> Starlette:
    """A server of Anthropic's API that keeps its requests."""

    async def answer(request: Request) -> JSONResponse:
        body = await request.body()
        seen.append((len(body), list(image_files(await request.json()))))
        head = {"id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return JSONResponse(head | {"content": [{"type": "text", "text": "Done."}], "usage": usage})

    return Starlette(routes=[Route("/v1/messages", answer, methods=["POST"])])


if __name__ == "__main__":
    main()
