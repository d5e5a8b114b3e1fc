"""What a guide is, and guides by name.

Knows names and the contract: nothing of networks (``graph``, ``clip``), of large pictures (``tiles``) or of
what the codec does with importance (`cotam.guide.importance`).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from cotam.errors import InputError, MissingLabError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EXPONENT", "Guide", "chosen", "digest_of", "exponent_of", "file_of", "load", "side_of"]

NAMES = "auto, none, lite, PATH.onnx, clip:NAME_OR_FOLDER"
LITE = Path(__file__).parent.parent / "weights" / "guide_lite.onnx"

EXPONENT = 0.25
"""The gain at strength 1 is importance to this power, unless a guide has an exponent of its own. High-rate
theory says ½ for a weight of squared error; at the rates that we code ⅛ … ¼ measured better."""

_loading = Lock()


class Guide(Protocol):
    """Anything that says how much an error at each place costs the vision encoder.

    A guide may also have two attributes, each None where it has no opinion:

    side : int, pixels of the long side that it sees a picture at; larger pictures are given to it as a whole
        and in tiles (``tiles``), so without a ``side`` it gets every picture once, at full size
    exponent : float, the power of importance that gives the gain at strength 1 (`EXPONENT`)
    """

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 (H, W, 3) → importance float32 (gh, gw), positive and of mean 1.

        The grid covers the whole picture evenly, whatever its size. Safe to call from several threads.
        """
        ...


def side_of(guide: Guide) -> int | None:
    """The guide's ``side``, if it has one."""
    return getattr(guide, "side", None)


def exponent_of(guide: Guide) -> float:
    """The guide's ``exponent``, or `EXPONENT`."""
    found = getattr(guide, "exponent", None)
    return EXPONENT if found is None else found


def load(name: str) -> Guide | None:
    """The guide of this name; loaded once and shared by all threads.

    Parameters
    ----------
    name : "none" (which gives None: bits are spread evenly), "lite" (the one in this package) or "auto" (the
        same), the path of an ONNX file (docs/guide.md has its contract), or "clip:" with the name or the
        folder of a vision encoder of the CLIP family

    Raises
    ------
    InputError
        if there is no such guide, or its file is none
    MissingLabError
        if the guide needs cotam-lab and it is not installed
    """
    if name == "none":
        return None
    kind, colon, model = name.partition(":")
    with _loading:
        if colon and kind == "clip":
            if not model:
                raise InputError("guide 'clip:' lacks the model: give clip:NAME or clip:FOLDER")
            return _from_entry_point(kind, model)
        if (file := file_of(name)) is not None:
            return _graph(str(file), _version(file))
    raise InputError(f"guide {name!r} is not known; there is: {NAMES}")


def chosen(name: str, profile: str) -> str:
    """The guide that "auto" means: "lite" with the profile mllm, or where that is found, with others "none".

    Other names stay.
    """
    if name != "auto":
        return name
    return "lite" if profile in ("auto", "mllm") else "none"


def file_of(name: str) -> Path | None:
    """The ONNX file of a guide; None for one that has none, or is not known."""
    if name in ("lite", "auto"):
        return LITE
    return Path(name) if name.lower().endswith(".onnx") and not name.startswith("clip:") else None


def digest_of(name: str, profile: str) -> str | None:
    """SHA-256 in hexadecimal of the ONNX file of the guide that is used; None where no file is.

    With the profile "auto" and no file of its own, it is that of the network which finds the profile.
    """
    file = file_of(chosen(name, profile)) or (LITE if profile == "auto" else None)
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def _version(path: Path) -> tuple[int, int]:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"guide {path} cannot be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _graph(path: str, version: tuple[int, int]) -> Guide:
    from cotam.guide.onnx import GraphGuide

    return GraphGuide(Path(path))


@lru_cache(maxsize=2)
def _from_entry_point(kind: str, model: str) -> Guide:
    for point in entry_points(group="cotam.guides", name=kind):
        guide: Guide = point.load()(model)
        return guide
    raise MissingLabError(f"guide '{kind}:{model}'")
