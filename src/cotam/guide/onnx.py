"""A guide in an ONNX file, run by ONNX Runtime. `docs/guide.md` has the contract of such a file.

Knows one file, its size rules and its output: nothing of what the network in it was trained for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cotam.errors import InputError
from cotam.runtime import open_session

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["GraphGuide", "normalised", "size_seen"]

VERSION = "1"
KINDS = ("vit", "conv")
MAX_SIDE = 1 << 14


class GraphGuide:
    """Runs a guide graph on pictures of any size.

    Attributes
    ----------
    name : for messages
    kind : "vit" sees each picture at its own size, ``side``; "conv" at most at that
    side : pixels of the long side
    multiple : both sides of what the graph sees are multiples of this
    exponent : see `cotam.guide.base.Guide`
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Load and check the file; ``threads`` 0: as many as this process may use.

        Raises
        ------
        InputError
            if it is not there, no ONNX file, or no guide graph
        """
        self._path = path
        self._session = _opened(path, threads)
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        version = metadata.get("cotam.guide")
        if version is None:
            raise InputError(f"guide {path} is an ONNX file but no guide: it has no metadata 'cotam.guide'")
        if version != VERSION:
            raise InputError(f"guide {path} has version {version!r}; this release reads version {VERSION}")
        self.name = metadata.get("cotam.guide.name", path.stem)
        self.kind = metadata.get("cotam.guide.kind", "")
        if self.kind not in KINDS:
            raise InputError(f"guide {path} is of kind {self.kind!r}; there are: {', '.join(KINDS)}")
        self.multiple = self._number(metadata, "multiple")
        self.side = self._number(metadata, "side")
        if self.side < self.multiple:
            raise InputError(f"guide {path}: its side {self.side} is below its multiple {self.multiple}")
        self.exponent = self._exponent(metadata)
        inputs = [(node.name, node.type, len(node.shape)) for node in self._session.get_inputs()]
        outputs = {node.name: node.type for node in self._session.get_outputs()}
        if inputs != [("pixels", "tensor(uint8)", 4)] or outputs.get("importance") != "tensor(float)":
            raise InputError(
                f"guide {path} has other inputs or outputs than pixels uint8 (1, H, W, 3) "
                "and importance float32 (1, gh, gw)"
            )

    def _number(self, metadata: Mapping[str, str], key: str) -> int:
        text = metadata.get(f"cotam.guide.{key}", "")
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_SIDE):
            raise InputError(f"guide {self._path}: {key} is {text!r}, not 1 to {MAX_SIDE} pixels")
        return int(text)

    def _exponent(self, metadata: Mapping[str, str]) -> float | None:
        text = metadata.get("cotam.guide.exponent")
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= 4:
            raise InputError(f"guide {self._path}: exponent is {text!r}, not a number above 0, up to 4")
        return value

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """What a picture of this size is resized to: "conv" enlarges none."""
        return size_seen(height, width, self.side, self.multiple, enlarge=self.kind == "vit")

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 (H, W, 3) → importance float32 (gh, gw), positive and of mean 1.

        Raises
        ------
        InputError
            if the graph fails on it, or gives anything but positive numbers
        """
        (found,) = self._run(pixels, "importance")
        return self._checked(found)

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The importance, and float32 (2,): how much varies where there is text, and everywhere.

        Of a graph that has the output ``structure``, as that of this package; raises as `importance`.
        """
        found, structure = self._run(pixels, "importance", "structure")
        return self._checked(found), structure[0]

    def _run(self, pixels: np.ndarray, *outputs: str) -> list[np.ndarray]:
        from onnxruntime.capi import onnxruntime_pybind11_state as ort

        from cotam.guide.multiscale import resized

        seen = resized(pixels, self.size_for(*pixels.shape[:2]))
        try:
            found: list[np.ndarray] = self._session.run(outputs, {"pixels": seen[None]})
        except (ort.Fail, ort.InvalidArgument, ort.RuntimeException, ort.NotImplemented) as error:
            what = f"guide {self._path} failed on {seen.shape[1]}×{seen.shape[0]} pixels"
            raise InputError(f"{what}: {_reason(error)}") from error
        return found

    def _checked(self, found: np.ndarray) -> np.ndarray:
        if found.ndim != 3 or found.shape[0] != 1 or not found.size:
            raise InputError(f"guide {self._path} gives importance of shape {found.shape}, not (1, gh, gw)")
        if not (np.isfinite(found).all() and found.min() > 0):
            raise InputError(f"guide {self._path} gives importance that is not positive everywhere")
        return normalised(found[0])


def size_seen(height: int, width: int, side: int, multiple: int, *, enlarge: bool) -> tuple[int, int]:
    """What a guide sees a picture at: its long side is ``side``, or at most that, its aspect stays but for
    rounding to multiples."""
    scale = side / max(height, width)
    if not enlarge:
        scale = min(scale, 1.0)
    rows, columns = (min(max(round(n * scale / multiple), 1), side // multiple) for n in (height, width))
    return rows * multiple, columns * multiple


def normalised(importance: np.ndarray) -> np.ndarray:
    """Positive numbers divided by their mean, float32, none so small that it would become zero."""
    wide = importance.astype(np.float64)
    return np.maximum(wide / wide.mean(), 1e-9).astype(np.float32)


def _opened(path: Path, threads: int) -> onnxruntime.InferenceSession:
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    if not path.is_file():
        raise InputError(f"guide {path} is not there, or is no file")
    try:
        return open_session(path, threads)
    except (
        ort.Fail,
        ort.InvalidArgument,
        ort.InvalidGraph,
        ort.InvalidProtobuf,
        ort.NoSuchFile,
        ort.NotImplemented,
        ort.RuntimeException,
    ) as error:
        raise InputError(f"guide {path} is no ONNX file that can be run: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The last words of ONNX Runtime's message, in one line."""
    return " ".join(str(error).split())[-160:]
