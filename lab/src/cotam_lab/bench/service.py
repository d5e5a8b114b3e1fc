"""Programs on loopback for measurements: ``cotam serve`` or ``edge``, and servers of this process."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import create_server
from typing import Any

import uvicorn
from starlette.applications import Starlette

__all__ = ["anthropic_turns", "cotam_program", "image_files", "serving"]


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an application from a thread of this process. Yields its address."""
    with create_server(("127.0.0.1", 0), backlog=1024) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def cotam_program(*arguments: str) -> Iterator[str]:
    """Run ``cotam …``. Yields its address."""
    command = [sys.executable, "-m", "cotam.cli.main", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr
        lines = program.stderr
        url = json.loads(lines.readline())["url"]
        threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()  # or its pipe fills
        try:
            yield url
        finally:
            program.terminate()


def anthropic_turns(images: Sequence[bytes], question: str) -> list[Any]:
    """Messages of an agent, as Anthropic's client sends them: each PNG is the result of a tool."""
    turns: list[Any] = [{"role": "user", "content": question}]
    for number, image in enumerate(images):
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}
        block = {"type": "image", "source": source}
        use = {"type": "tool_use", "id": f"t{number}", "name": "computer", "input": {"action": "screenshot"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": [block]}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return turns


def image_files(request: Any) -> Iterator[bytes]:
    """All images in the JSON of a request of any API, in order."""
    if isinstance(request, dict):
        for key, item in request.items():
            if isinstance(item, str) and key in ("url", "data"):
                yield base64.b64decode(item.rpartition(",")[2])
            else:
                yield from image_files(item)
    elif isinstance(request, list):
        for item in request:
            yield from image_files(item)
