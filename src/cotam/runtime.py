"""Run the named graphs of a weight set with ONNX Runtime.

Knows graphs, arrays and threads: nothing of what the graphs mean.

Graphs and their inputs, all of batch 1 (`docs/format.md` has the shapes):

=============== ========================================================== =====================
analysis        pixels uint8                                               latents
hyper_analysis  latents                                                    hyper latents
hyper_context   known, sums (integers in float32)                          mean, change (integers)
scales          z, levels, sums64, sums32, offset (integers in float32)    index uint8
context         z, levels, nominal, gain, index, symbols, latents, given   symbols int16, latents
synthesis       latents, levels, nominal, adapted                          pixels uint8
=============== ========================================================== =====================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "GRAPHS",
    "OnnxRunner",
    "Optimisation",
    "Runner",
    "limit_threads",
    "open_session",
    "usable_processors",
]

Optimisation = Literal["all", "extended", "basic", "none"]
GRAPHS = ("analysis", "hyper_analysis", "scales", "context", "synthesis")


class Runner(Protocol):
    """Anything that runs named graphs."""

    def __call__(self, graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]: ...


_limit = 0


def limit_threads(threads: int) -> None:
    """Threads of the graphs that are opened from now on; for one process among others that do the same.

    0 is as many as the process may use. With another number the last bits of floats may be others.
    """
    global _limit
    _limit = threads


def usable_processors() -> int:
    """Threads that graphs get: those that this process may use, or as `limit_threads` says."""
    if _limit:
        return _limit
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_session(
    model: Path | bytes, threads: int = 0, *, optimisation: Optimisation = "all"
) -> onnxruntime.InferenceSession:
    """An ONNX file, or what is in it, on the CPU.

    ``threads`` 0: as many as this process may use, or as `limit_threads` says.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_processors()
    options.log_severity_level = 4  # what goes wrong is raised, too
    # An arena keeps the largest tile's memory for each graph: most of the peak on large pictures.
    options.enable_cpu_mem_arena = False
    # Threads that spin between graphs take the time of whatever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = {
        "all": level.ORT_ENABLE_ALL,
        "extended": level.ORT_ENABLE_EXTENDED,
        "basic": level.ORT_ENABLE_BASIC,
        "none": level.ORT_DISABLE_ALL,
    }[optimisation]
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class OnnxRunner:
    """ONNX Runtime on the CPU; a graph is loaded when it is first run."""

    def __init__(self, folder: Path, threads: int = 0, *, optimisation: Optimisation = "all") -> None:
        """``threads`` 0: as many as this process may use. Less ``optimisation`` is for tests of exactness."""
        self._folder, self._optimisation = folder, optimisation
        self._threads = threads
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._loading = Lock()

    def __call__(self, graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with self._loading:
            if graph not in self._sessions:
                path = self._folder / f"{graph}.onnx"
                self._sessions[graph] = open_session(path, self._threads, optimisation=self._optimisation)
        return self._sessions[graph].run(None, dict(inputs))
