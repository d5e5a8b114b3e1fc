"""``transformers serve`` as a process on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address, with its version path, of a server of the model in a folder, which is also its name."""
    server = shutil.which("transformers", path=Path(sys.executable).parent)
    assert server, "transformers is not installed beside this Python"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [server, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
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
        yield f"{address}/v1"
        program.terminate()
