"""Clean up when a command is interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread
from types import FrameType

__all__ = ["ending_cleanly"]


def _loading_onnx_runtime(frame: FrameType | None) -> bool:
    """Whether a frame is below the import of ONNX Runtime, which an exception may abort."""
    while frame:
        if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"].startswith("onnxruntime."):
            return True
        frame = frame.f_back
    return False


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, so that no unfinished file is left, then exit."""
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if _loading_onnx_runtime(frame):
            Timer(0.05, signal.raise_signal, [number]).start()
            return
        ended.append(number)
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if os.name == "posix" else [])
    if current_thread() is not main_thread():  # which alone may set handlers
        numbers = []
    handlers = {number: signal.getsignal(number) for number in numbers}
    caught = {n: h for n, h in handlers.items() if h in (signal.SIG_DFL, signal.default_int_handler)}
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
        for last in ended:  # even if the exception was caught
            signal.raise_signal(last)
