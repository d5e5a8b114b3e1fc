"""Run a weight set's graphs with ONNX's reference implementation, node by node in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

__all__ = ["ReferenceRunner"]


class QLinearConv(OpRun):
    """ONNX Runtime's convolution of integers in channels-last order: x is uint8 (1, h, w, C)."""

    op_domain = "com.microsoft"

    def _run(self, x: np.ndarray, *rest: np.ndarray, **attributes: Any) -> tuple[np.ndarray]:
        x_scale, x_zero, weight, scales, _, y_scale, y_zero, bias = rest
        values = torch.from_numpy(x.astype(np.float64) - x_zero.item()).permute(0, 3, 1, 2)
        integers = torch.from_numpy(weight.astype(np.float64)), torch.from_numpy(bias.astype(np.float64))
        sums = F.conv2d(values, *integers, padding=weight.shape[2] // 2, groups=attributes["group"])
        factor = (x_scale * scales / y_scale).astype(np.float32)
        found = np.rint(sums.permute(0, 2, 3, 1).numpy().astype(np.float32) * factor) + y_zero.item()
        return (found.clip(0, 255).astype(np.uint8),)


class QLinearLeakyRelu(OpRun):
    """ONNX Runtime's leaky ReLU of uint8."""

    op_domain = "com.microsoft"

    def _run(self, x: np.ndarray, *steps: np.ndarray, alpha: float) -> tuple[np.ndarray]:
        x_scale, x_zero, y_scale, y_zero = steps
        values = (x.astype(np.float32) - x_zero.item()) * x_scale
        found = np.rint(np.where(values < 0, np.float32(alpha) * values, values) / y_scale) + y_zero.item()
        return (found.clip(0, 255).astype(np.uint8),)


class MatMulIntegerToFloat(OpRun):
    """ONNX Runtime's product of integers → floats."""

    op_domain = "com.microsoft"

    def _run(
        self, x: np.ndarray, weight: np.ndarray, *rest: np.ndarray, **attributes: Any
    ) -> tuple[np.ndarray]:
        x_scale, scales, x_zero, _, bias = rest
        sums = (x.astype(np.float64) - x_zero.item()) @ weight.astype(np.float64)
        return ((sums.astype(np.float32) * (x_scale * scales) + bias).astype(np.float32),)


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
            model = onnx.load(self._folder / f"{graph}.onnx")
            self._graphs[graph] = ReferenceEvaluator(
                model, new_ops=[QLinearConv, QLinearLeakyRelu, MatMulIntegerToFloat]
            )
        found = self._graphs[graph].run(None, dict(inputs))
        return [np.asarray(array) for array in found]
