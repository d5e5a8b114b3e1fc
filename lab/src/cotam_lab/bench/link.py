"""A loopback connection that counts bytes."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

__all__ = ["Link"]


class Link:
    """Forwards connections to a port of this machine, and counts bytes.

    Attributes
    ----------
    sent, received : bytes towards the port, and back, headers included
    address : where it listens
    """

    def __init__(self, port: int) -> None:
        self._port, self.sent, self.received, self.address = port, 0, 0, ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Link:
        self._thread.start()
        start = asyncio.start_server(self._forward, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(
                self._copy(reader, there_writer, "sent"), self._copy(there_reader, writer, "received")
            )
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: Any, name: str) -> None:
        try:
            while data := await reader.read(1 << 16):
                setattr(self, name, getattr(self, name) + len(data))
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
