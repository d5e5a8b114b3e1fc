"""Clean up when a command is interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread
from types import FrameType

__all__ = ["ending_cleanly"]


def _importing(frame: FrameType | None, outer: FrameType) -> bool:
    """Whether ``frame`` is in an import that ``outer`` began."""
    while frame and frame is not outer:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _signal_main_thread(number: int) -> None:
    """Send a signal to the main thread: one that another thread handles would not end its wait for input."""
    thread = main_thread().ident
    if thread and os.name == "posix":
        signal.pthread_kill(thread, number)
    else:
        signal.raise_signal(number)


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, so that no unfinished file is left, then exit.

    An interrupt waits for the end of an import: an exception would abort the process while ONNX Runtime is
    loaded, and would be lost in a callback of the import system.
    """
    ended: list[int] = []
    outer = sys._getframe(2)  # beyond this generator and its context manager

    def end(number: int, frame: FrameType | None) -> None:
        if _importing(frame, outer):
            Timer(0.05, _signal_main_thread, [number]).start()
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
