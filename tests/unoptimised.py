"""Runs graphs as they are in their files, without the optimisations of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort


class UnoptimisedRunner:
    """A `cotam.runtime.Runner` of the graphs in a folder."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._options = ort.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._open = cache(lambda graph: ort.InferenceSession(str(folder / f"{graph}.onnx"), self._options))

    def __call__(self, graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of a graph."""
        return self._open(graph).run(None, dict(inputs))
