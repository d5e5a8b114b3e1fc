"""A small server of the OpenAI API for tests and recipes: ``python openai_server.py PORT [MODEL_FOLDER]``.

With a folder it answers with that model of transformers (`cotam_lab.evaluate.local`), without one with fixed
text. Images must be data URLs. `serving` runs it in a thread.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "An answer."


class Server(ThreadingHTTPServer):
    """Answers chat completions; ``requests`` keeps the number of images of each."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, folder: str | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.requests: list[int] = []
        self.lock, self.model = threading.Lock(), None
        if folder:
            from cotam_lab.evaluate.local import Local

            self.model = Local(folder, device="cpu")
            self.model.prepare()

    def answer(self, body: dict[str, Any]) -> str:
        """Answer the last message of a request."""
        content = body["messages"][-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        self.requests.append(len(urls))
        if self.model is None:
            return TEXT
        from cotam.image.read import to_rgb

        images = [to_rgb(base64.b64decode(url.partition(",")[2])) for url in urls]
        prompt = "\n".join(part["text"] for part in parts if part["type"] == "text")
        with self.lock:
            return self.model.ask(images, prompt, int(body.get("max_tokens") or 16)).text


class Handler(BaseHTTPRequestHandler):
    """Routes: GET /v1/models, POST /v1/chat/completions."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": "tests"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": self.server.answer(body)}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "usage": usage}
        self._send(head | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})

    def _send(self, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(folder: str | None = None) -> Iterator[tuple[str, Server]]:
    """Run the server in a thread; yields its address and itself."""
    server = Server(0, folder)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    Server(int(sys.argv[1]), *sys.argv[2:3]).serve_forever()
