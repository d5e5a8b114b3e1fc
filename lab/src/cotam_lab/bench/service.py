"""Run ``cotam serve`` or ``edge`` and a model server with fixed answers on loopback, for measurements.

``python -m cotam_lab.bench.service SECONDS`` is the model server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_server, socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

__all__ = ["SECONDS", "body_of", "cotam_program", "model_program", "serving"]

SECONDS = "x-model-seconds"
"""Header that says how long the model server takes for this request."""


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an application from a thread of this process. Yields its address."""
    with create_server(("127.0.0.1", 0)) as listener:
        server = _server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield _address(listener)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def model_program(seconds: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A model server that takes so long for each answer, and its address.

    ``/v1/counts`` says how many requests have ``begun``, and how many were ``given_up`` by who sent them.
    """
    with _running([sys.executable, "-m", "cotam_lab.bench.service", str(seconds)]) as found:
        yield found


@contextmanager
def cotam_program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running ``cotam …`` and its address."""
    with _running([sys.executable, "-m", "cotam.cli.main", *arguments, "--port", "0"]) as found:
        yield found


@contextmanager
def _running(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr
        lines = program.stderr
        url = json.loads(lines.readline())["url"]
        threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()  # or its pipe fills
        try:
            yield program, url
        finally:
            program.terminate()


def body_of(*files: tuple[str, bytes]) -> bytes:
    """A request with images, given as media type and bytes of each."""
    urls = [f"data:{kind};base64,{base64.b64encode(data).decode()}" for kind, data in files]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))


def _model(seconds: float) -> Starlette:
    counts = Counter(begun=0, given_up=0)

    async def chat(request: Request) -> JSONResponse:
        until = time.monotonic() + float(request.headers.get(SECONDS, seconds))
        await request.body()
        counts["begun"] += 1
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))
            if await request.is_disconnected():
                counts["given_up"] += 1
                break
        message = {"role": "assistant", "content": "An answer."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return JSONResponse(head | {"choices": [choice]})

    async def told(request: Request) -> JSONResponse:
        return JSONResponse(counts)

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/counts", told)]
    return Starlette(routes=routes)


def _address(listener: socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _main() -> None:
    logging.basicConfig(level=logging.WARNING)
    with create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(json.dumps({"url": _address(listener)}), file=sys.stderr, flush=True)
        _server(_model(float(sys.argv[1]))).run(sockets=[listener])


if __name__ == "__main__":
    _main()
