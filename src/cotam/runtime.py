"""Run the graphs of weight sets with ONNX Runtime.

`docs/format.md` has the inputs and outputs of the graphs of a decoder. Of the other two, ``analysis`` makes
latents, float32 (1, M, h, w), of ``pixels``, uint8 (1, 16h, 16w, 3), and ``hyper_analysis`` hyper latents,
float32 (1, Z, h/4, w/4), of ``latents``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from cotam.errors import InputError

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "DECODING",
    "ENCODING",
    "GRAPHS",
    "Beside",
    "OnnxRunner",
    "Runner",
    "limit_threads",
    "open_session",
    "usable_processors",
    "use_providers",
]

# ONNX Runtime 1.29 and later reports its use to Microsoft, unless this is set before it starts.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

GRAPHS = ("analysis", "hyper_analysis", "hyper_context", "scales", "context", "synthesis")

ENCODING = ("analysis", "hyper_analysis", "scales", "context", "hyper_context")
DECODING = ("hyper_context", "scales", "context", "synthesis")
"""Graphs in the order in which an image needs them."""

EXACT = ("scales", "hyper_context")
"""Graphs that choose the tables of symbols: they always run on the CPU, where their integers are exact."""

CPU = "CPUExecutionProvider"

Runner = Callable[[str, Mapping[str, np.ndarray]], list[np.ndarray]]
"""Runs graphs: (name, inputs) → outputs."""

_limit = 0
_providers: tuple[str, ...] = (CPU,)


def limit_threads(threads: int) -> None:
    """Set the number of threads of graphs opened from now on; 0 is one per processor of this process.

    The number may change the last bits of floats.
    """
    global _limit
    _limit = threads


def use_providers(*providers: str) -> None:
    """Set the execution providers of graphs opened from now on, in order of preference.

    The CPU runs the graphs `EXACT`, and the operators that no provider has. Any decoder reads the files: only
    the last bits of floats depend on the provider.

    Parameters
    ----------
    providers : names as in ``onnxruntime.get_available_providers()``, for example "CUDAExecutionProvider"

    Raises
    ------
    InputError
        If the installed ONNX Runtime lacks one of them.
    """
    global _providers
    import onnxruntime as ort

    available = ort.get_available_providers()
    for provider in providers:
        if provider not in available:
            raise InputError(f"unknown execution provider {provider!r}: choose from {', '.join(available)}")
    _providers = (*(provider for provider in providers if provider != CPU), CPU)


def usable_processors() -> int:
    """Return the number of threads of graphs, see `limit_threads`."""
    if _limit:
        return _limit
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_session(
    model: Path | bytes, threads: int = 0, *, exact: bool = False
) -> onnxruntime.InferenceSession:
    """Open an ONNX file, given its path or bytes.

    Parameters
    ----------
    threads : number of threads; 0 is `usable_processors`
    exact : use only the CPU, whatever `use_providers` has set
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_processors()
    options.log_severity_level = 4  # errors are raised as well
    # An arena would keep the memory of the largest tile of each graph, 110 MiB at 768×512, and save no time.
    options.enable_cpu_mem_arena = False
    # Threads that spin between graphs take processor time from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    providers = [CPU] if exact else list(_providers)
    # ONNX Runtime's fallback is the CPU, and prints to standard output.
    fall_back = len(providers) > 1
    return ort.InferenceSession(source, options, providers=providers, enable_fallback=fall_back)


class Beside(ThreadPoolExecutor):
    """A thread pool that takes work until the process exits.

    Python's refuses work once the main thread has ended; this one then does it in the calling thread.
    """

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        try:
            return super().submit(work, *args, **options)
        except RuntimeError:
            done: Future[Any] = Future()
            done.set_result(work(*args, **options))
            return done


class OnnxRunner:
    """Runs the graphs ``NAME.onnx`` in a folder; each is opened at its first run, or before by `open`."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._folder, self._threads = folder, threads
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._opening = {graph: Lock() for graph in GRAPHS}

    def open(self, graph: str) -> onnxruntime.InferenceSession:
        """Return the session of a graph. Safe to call from several threads."""
        with self._opening[graph]:
            if graph not in self._sessions:
                self._sessions[graph] = open_session(
                    self._folder / f"{graph}.onnx", self._threads, exact=graph in EXACT
                )
            return self._sessions[graph]

    def __call__(self, graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of a graph, or raise MemoryError. Safe to call from several threads."""
        try:
            return self.open(graph).run(None, dict(inputs))
        except Exception as error:  # its exceptions have no common base
            if "alloc" in str(error) or "out of memory" in str(error):
                raise MemoryError from error
            raise
