"""Codecs are loaded once; their graphs may be opened ahead, in a thread that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cotam import runtime
from cotam.codec import shared
from cotam.errors import UnknownWeightsError


@pytest.fixture(autouse=True)
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process with two processors."""
    monkeypatch.setattr(shared, "_codecs", {})
    monkeypatch.setattr(runtime, "_limit", 2)


def open_ahead(name: str) -> list[threading.Thread]:
    """Open two graphs of a set ahead; return the threads that did so, after they have ended."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def noting(thread: threading.Thread) -> None:
        started.append(thread)
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", noting)
        shared.open_ahead(name, ["scales", "hyper_context"])
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()
    return started


def test_graphs_are_opened_ahead_once() -> None:
    assert len(open_ahead("mllm")) == 1
    runner = shared.codec("mllm").runner
    assert isinstance(runner, runtime.OnnxRunner)
    assert list(runner._sessions) == ["scales", "hyper_context"]
    assert not open_ahead("mllm")
    assert shared.codec("mllm").runner is runner


def test_one_processor_opens_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_limit", 1)
    assert not open_ahead("mllm")


def test_errors_are_raised_where_a_set_is_used(capfd: pytest.CaptureFixture[str]) -> None:
    open_ahead("nothing")
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UnknownWeightsError, match="nothing"):
        shared.codec("nothing")


FORK = """
import os, signal
from cotam import runtime
from cotam.codec import shared
runtime.limit_threads(2)
shared.open_ahead("mllm", runtime.GRAPHS)
child = os.fork()
if not child:
    signal.alarm(600)
    shared.codec("mllm").runner.open("synthesis")
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_can_fork_while_graphs_are_opened_ahead() -> None:
    assert subprocess.run([sys.executable, "-c", FORK], check=False).returncode == 0


OUTLIVING = """
import atexit, sys, threading
import numpy as np
sys.path[:0] = [{tests!r}]
import cotam
from synthetic import picture, screen

def both():
    for pixels in (picture(64, 64), screen(64, 64)):
        assert cotam.decode(cotam.encode(pixels)).size == (64, 64)
    print("done")

def later():
    threading.main_thread().join()
    both()

import concurrent.futures.thread
threading.Thread(target=later).start()
atexit.register(both)
"""


def test_threads_that_outlive_the_main_one_and_functions_at_exit_can_encode() -> None:
    program = OUTLIVING.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\ndone\n", "")
