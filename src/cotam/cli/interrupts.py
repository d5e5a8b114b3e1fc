"""Clean up when a command is interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread, current_thread, main_thread
from time import sleep
from types import FrameType

__all__ = ["ending_cleanly"]


def _importing(frame: FrameType | None, outer: FrameType) -> bool:
    """Whether ``frame`` is in an import that ``outer`` began."""
    while frame and frame is not outer:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, so that no unfinished file is left, then exit.

    The argument of the KeyboardInterrupt is the number of the signal.

    An interrupt waits for the end of an import: an exception would abort the process while ONNX Runtime is
    loaded, and would be lost in a callback of the import system. It is then sent again, to the main thread
    whose wait for input it must end, until it is handled: that thread may be just about to wait.
    """
    ended: list[int] = []
    delayed: set[int] = set()
    outer = sys._getframe(2)  # beyond this generator and its context manager

    def send_again(number: int) -> None:
        main = main_thread().ident
        sleep(0.05)
        while not ended:
            if main and os.name == "posix":
                signal.pthread_kill(main, number)
            else:
                signal.raise_signal(number)
            sleep(0.05)

    def end(number: int, frame: FrameType | None) -> None:
        if _importing(frame, outer):
            if number not in delayed:
                delayed.add(number)
                Thread(target=send_again, args=[number], daemon=True).start()
            return
        ended.append(number)
        raise KeyboardInterrupt(number)

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
