"""Real servers on loopback for the tests of the gateway, and a model server that says what it was sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cotam.gateway.link import unpack

PROGRAM = [sys.executable, "-W", "error", "-m", "cotam"]


class _Server(uvicorn.Server):
    """Stops at once, where uvicorn's own waits two times a tenth of a second; hundreds of tests stop one."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                while state.connections or state.tasks:
                    await asyncio.sleep(0.005)
        for task in state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


@contextmanager
def nobody() -> Iterator[tuple[str, socket.socket]]:
    """An address that refuses connections, and a socket that keeps it from other programs, and may listen."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}", kept


@contextmanager
def running(app: ASGIApp, listener: socket.socket | None = None, **options: Any) -> Iterator[str]:
    """The address, without a path, of a server that answers with the application."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    # A gateway that comes to a halt may take a connection for open that uvicorn closes after five seconds.
    options = {"log_config": None, "access_log": False, "timeout_keep_alive": 300} | options
    server = _Server(uvicorn.Config(app, lifespan="on", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def process(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running program, and the address that its first line names."""
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        preexec_fn=_heed_interrupts if os.name == "posix" else None,
    ) as program:
        assert program.stderr
        try:
            line = program.stderr.readline()
            yield program, json.loads(line)["url"]
        finally:
            program.kill()


class Link:
    """Between edge and gateways: sends each request to the next of them, and keeps its body."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Starlette()(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        target = self.targets[len(self.bodies) % len(self.targets)]
        self.bodies.append(body)
        async with (
            httpx2.AsyncClient() as client,
            client.stream(
                request.method, target + request.url.path, headers=request.headers.raw, content=body
            ) as answer,
        ):
            self.statuses.append(answer.status_code)
            headers = {name: value for name, value in answer.headers.items() if name != "transfer-encoding"}
            response = StreamingResponse(answer.aiter_raw(), answer.status_code, headers=headers)
            await response(scope, receive, send)

    @property
    def bytes(self) -> int:
        return sum(map(len, self.bodies))

    @property
    def files(self) -> list[bytes]:
        """All that crossed."""
        return [file for body in self.bodies for file in unpack(body, 10**6).files.values()]


class Model:
    """A server of the OpenAI API whose answers say which images it was sent; it keeps all requests."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.waiting = threading.Event()
        self.given_up = threading.Event()
        self.goes_on = threading.Event()
        """Streams wait for it after their first event."""
        self.goes_on.set()
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/responses", self._responses, methods=["POST"]),
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1beta/models/{call}", self._gemini, methods=["POST"]),
            Route("/v1beta/interactions", self._interactions, methods=["POST"]),
            Route("/v1/interactions", self._interactions, methods=["POST"]),
            Route("/v1/models/{call}", self._gemini, methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/v1/wait", self._wait, methods=["POST"]),
            Route("/v1/break", self._break),
            Route("/v1/silence", self._silence),
            Route("/v1/gzip", self._gzip),
            Route("/{rest:path}", self._other, methods=["GET", "POST", "DELETE"]),
        ]
        self.app = Starlette(routes=routes)

    async def _keep(self, request: Request) -> bytes:
        body = await request.body()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.paths.append(request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode())
        return body

    async def _chat(self, request: Request) -> Response:
        value = json.loads(await self._keep(request))
        text = json.dumps(_seen(value))
        base = {"id": "chatcmpl-1", "created": 1, "model": value["model"]}
        if value.get("stream"):
            return StreamingResponse(self._events(text, base), media_type="text/event-stream")
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return JSONResponse(base | {"object": "chat.completion", "choices": [choice]})

    async def _responses(self, request: Request) -> Response:
        value = json.loads(await self._keep(request))
        content = [{"type": "output_text", "text": json.dumps(_seen(value)), "annotations": []}]
        message = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }
        return JSONResponse(
            {
                "id": "resp_1",
                "object": "response",
                "created_at": 1,
                "model": value["model"],
                "status": "completed",
                "output": [message],
                "parallel_tool_calls": False,
                "tool_choice": "auto",
                "tools": [],
            }
        )

    async def _messages(self, request: Request) -> Response:
        value = json.loads(await self._keep(request))
        content = [{"type": "text", "text": json.dumps(_images(value))}]
        answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": value["model"]}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return JSONResponse(answer | {"content": content, "stop_reason": "end_turn", "usage": usage})

    async def _gemini(self, request: Request) -> Response:
        value = json.loads(await self._keep(request))
        content = {"role": "model", "parts": [{"text": json.dumps(_images(value))}]}
        answer = {"candidates": [{"content": content, "finishReason": "STOP"}]}
        if request.path_params["call"].endswith(":streamGenerateContent"):
            return Response(f"data: {json.dumps(answer)}\r\n\r\n", media_type="text/event-stream")
        return JSONResponse(answer)

    async def _interactions(self, request: Request) -> Response:
        value = json.loads(await self._keep(request))
        content = [{"type": "text", "text": json.dumps(_images(value))}]
        steps = [{"type": "model_output", "content": content}]
        return JSONResponse({"id": "i", "status": "completed", "model": value["model"], "steps": steps})

    async def _models(self, request: Request) -> Response:
        await self._keep(request)
        rows = [{"id": "echo", "object": "model", "created": 1, "owned_by": "tests"}]
        return JSONResponse({"object": "list", "data": rows})

    async def _wait(self, request: Request) -> Response:
        """Until the client goes."""
        await self._keep(request)
        self.waiting.set()
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        self.given_up.set()
        return Response()

    async def _break(self, request: Request) -> Response:
        async def half() -> AsyncIterator[bytes]:
            yield b"the first half"
            raise ConnectionAbortedError  # uvicorn closes the connection

        return StreamingResponse(half(), media_type="text/plain")

    async def _silence(self, request: Request) -> Response:
        """Longer than an upstream may be silent in a test."""
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        return Response()

    async def _gzip(self, request: Request) -> Response:
        await self._keep(request)
        import gzip

        headers = {"content-encoding": "gzip", "x-model": "yes"}
        return Response(gzip.compress(b"unpacked"), 201, headers=headers, media_type="text/plain")

    async def _other(self, request: Request) -> Response:
        body = await self._keep(request)
        return Response(body, media_type=request.headers.get("content-type"))

    async def _events(self, text: str, base: dict[str, Any]) -> AsyncIterator[bytes]:
        for start in range(0, len(text), 40):
            choice = {"index": 0, "delta": {"content": text[start : start + 40]}, "finish_reason": None}
            chunk = base | {"object": "chat.completion.chunk", "choices": [choice]}
            yield f"data: {json.dumps(chunk)}\n\n".encode()
            await asyncio.to_thread(self.goes_on.wait, 300)
        yield b"data: [DONE]\n\n"


def _seen(value: Any) -> list[dict[str, Any]]:
    """What a model sees of each image part, as vLLM reads it."""
    rows = []
    for message in value.get("messages") or value.get("input"):
        content = message.get("content", message.get("output"))
        for part in content if isinstance(content, list) else [content]:
            address = part.get("image_url") if isinstance(part, dict) else None
            if address is None:
                continue
            url = address if isinstance(address, str) else address["url"]
            if url.startswith("data:"):
                head, _, text = url.partition(",")
                rows.append(_row(head[5:-7], text))
            else:
                rows.append({"url": url})
    return rows


def _images(value: Any) -> list[dict[str, Any]]:
    """What a model sees of each image in a request of Anthropic's or Gemini's APIs, or of MCP, in order."""
    if isinstance(value, list):
        return [row for item in value for row in _images(item)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == "base64" and "data" in value:
        return [_row(value["media_type"], value["data"])]
    if value.get("type") == "image" and "data" in value:
        return [_row(value.get("mime_type") or value["mimeType"], value["data"])]
    for key in ("inlineData", "inline_data"):
        if key in value:
            inline = value[key]
            return [_row(inline.get("mime_type") or inline["mimeType"], inline["data"])]
    return [row for item in value.values() for row in _images(item)]


def _row(media_type: str, text: str) -> dict[str, Any]:
    data = base64.b64decode(text.replace("-", "+").replace("_", "/"))
    with Image.open(io.BytesIO(data)) as image:
        pixels = hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()
        row = {"type": media_type, "format": image.format, "size": image.size, "bytes": len(data)}
    return row | {"pixels": pixels}


def jpeg(pixels: np.ndarray, quality: int = 85, orientation: int = 1) -> bytes:
    """A JPEG file."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def data_url(media_type: str, data: bytes) -> str:
    """``data:…;base64,…``"""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def messages(*photos: bytes) -> Any:
    """One turn with a question about photos, as a client sends it."""
    urls = [f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}" for photo in photos]
    content: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *content]}]


def error_of(response: httpx2.Response) -> str:
    """The message of an error as OpenAI's API has them."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["message"]
