"""Guides in ONNX files; `docs/guide.md` specifies the files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cotam.errors import InputError
from cotam.guide.importance import EXPONENT
from cotam.guide.resize import resize_bilinear
from cotam.runtime import open_session

__all__ = ["GraphGuide", "normalise", "size_seen"]

VERSION = "1"
KINDS = ("vit", "conv")
MAX_SIDE = 1 << 14


class GraphGuide:
    """A guide that runs an ONNX graph.

    Attributes
    ----------
    output : the output of the graph that is the importance map
    kind : "vit" enlarges small images to ``side``, "conv" does not
    side : largest long side, in pixels, of the input of the graph
    multiple : both sides of the input are multiples of this, in pixels
    exponent : see `cotam.guide.base.Guide`
    """

    def __init__(self, path: Path, *, output: str = "importance") -> None:
        """Load the file. Raises InputError if it cannot be read, is not ONNX, or is not a guide."""
        self._path, self.output = path, output
        try:
            self._session = open_session(path)
            metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
            inputs = [(node.name, node.type, len(node.shape)) for node in self._session.get_inputs()]
            outputs = {node.name: node.type for node in self._session.get_outputs()}
        except _errors() as error:
            raise InputError(f"guide {path} is not an ONNX file that can be run: {_reason(error)}") from error
        version = metadata.get("cotam.guide")
        if version is None:
            raise InputError(f"guide {path} is not a guide: its ONNX metadata lack 'cotam.guide'")
        if version != VERSION:
            raise InputError(f"guide {path} has version {version!r}, this release reads {VERSION}")
        self.kind = metadata.get("cotam.guide.kind", "")
        if self.kind not in KINDS:
            raise InputError(f"guide {path} has kind {self.kind!r}, expected one of {', '.join(KINDS)}")
        self.multiple = self._number(metadata, "multiple")
        self.side = self._number(metadata, "side")
        if self.side < self.multiple:
            raise InputError(f"guide {path}: side {self.side} is below multiple {self.multiple}")
        self.exponent = self._exponent(metadata)
        if inputs != [("pixels", "tensor(uint8)", 4)] or outputs.get(output) != "tensor(float)":
            raise InputError(
                f"guide {path} must have the input pixels, uint8 (1, H, W, 3), and the output {output}, "
                "float32 (1, gh, gw)"
            )

    def _number(self, metadata: Mapping[str, str], key: str) -> int:
        text = metadata.get(f"cotam.guide.{key}", "")
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_SIDE):
            raise InputError(f"guide {self._path}: {key} must be 1 to {MAX_SIDE} pixels, got {text!r}")
        return int(text)

    def _exponent(self, metadata: Mapping[str, str]) -> float:
        text = metadata.get("cotam.guide.exponent", str(EXPONENT))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= 4:
            raise InputError(f"guide {self._path}: exponent must be above 0 and at most 4, got {text!r}")
        return value

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return the input size (h, w) of the graph for an image of this size."""
        return size_seen(height, width, self.side, self.multiple, enlarge=self.kind == "vit")

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Return the importance map, float32 (gh, gw), positive and of mean 1, of pixels uint8 (H, W, 3).

        Raises InputError if the graph fails, or its output is not positive numbers.
        """
        (found,) = self._run(pixels, self.output)
        return self._check_map(found)

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the importance map, and the output ``structure``, float32 (2,), of the built-in guide.

        ``structure`` is the sum of the deviations of luma of all cells, weighted by text, and unweighted.
        Raises as `importance`.
        """
        found, structure = self._run(pixels, self.output, "structure")
        return self._check_map(found), structure[0]

    def _run(self, pixels: np.ndarray, *outputs: str) -> list[np.ndarray]:
        seen = resize_bilinear(pixels, self.size_for(*pixels.shape[:2]))
        try:
            found: list[np.ndarray] = self._session.run(outputs, {"pixels": seen[None]})
        except _errors() as error:
            what = f"guide {self._path} failed on {seen.shape[1]}×{seen.shape[0]} pixels"
            raise InputError(f"{what}: {_reason(error)}") from error
        return found

    def _check_map(self, found: np.ndarray) -> np.ndarray:
        """Validate an output of the graph, (1, gh, gw), and return the importance map."""
        if found.ndim != 3 or found.shape[0] != 1 or not found.size:
            raise InputError(f"guide {self._path} returned shape {found.shape}, not (1, gh, gw)")
        if not (np.isfinite(found).all() and found.min() > 0):
            raise InputError(f"guide {self._path} returned importance that is not positive everywhere")
        return normalise(found[0])


def size_seen(height: int, width: int, side: int, multiple: int, *, enlarge: bool) -> tuple[int, int]:
    """Return the size (h, w) to which an image is resized for a guide.

    The long side is ``side``, or that of the image if it is smaller and ``enlarge`` is False. Both sides are
    rounded to multiples of ``multiple``.
    """
    scale = side / max(height, width)
    if not enlarge:
        scale = min(scale, 1.0)
    rows, columns = (min(max(round(n * scale / multiple), 1), side // multiple) for n in (height, width))
    return rows * multiple, columns * multiple


def normalise(importance: np.ndarray) -> np.ndarray:
    """Divide positive numbers by their mean; returns float32 of at least 1e-9."""
    wide = importance.astype(np.float64)
    return np.maximum(wide / wide.mean(), 1e-9).astype(np.float32)


def _errors() -> tuple[type[Exception], ...]:
    """Return the errors of ONNX Runtime for files that are not valid, and for graphs that fail."""
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    invalid = ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoSuchFile
    # Names in damaged files may not be UTF-8.
    return (*invalid, ort.Fail, ort.NotImplemented, ort.RuntimeException, UnicodeDecodeError)


def _reason(error: Exception) -> str:
    """Return the end of ONNX Runtime's message, in one line."""
    return " ".join(str(error).split())[-160:]
