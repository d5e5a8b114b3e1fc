"""Run a weight set's graphs with ONNX's reference implementation, node by node in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

__all__ = ["ReferenceRunner"]


class ReferenceRunner:
    """A `cotam.runtime.Runner` that is slow and independent of ONNX Runtime.

    Parameters
    ----------
    folder : with the graphs, as `<name>.onnx`; each is loaded when first run
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._graphs: dict[str, ReferenceEvaluator] = {}

    def __call__(self, graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if graph not in self._graphs:
            self._graphs[graph] = ReferenceEvaluator(onnx.load(self._folder / f"{graph}.onnx"))
        found = self._graphs[graph].run(None, dict(inputs))
        return [np.asarray(array) for array in found]
