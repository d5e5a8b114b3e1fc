"""The interface of guides, and guides by name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from cotam.errors import InputError, MissingLabError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LITE", "Guide", "file_of", "load"]

NAMES = "auto, none, text, lite, PATH.onnx, clip:NAME_OR_FOLDER"
LITE = Path(__file__).parent.parent / "weights" / "guide_lite.onnx"
"""The built-in network, whose outputs are the importance maps of the guides "text" and "lite"."""

_loading = Lock()


class Guide(Protocol):
    """Predicts an importance map: how much an error at each place changes what a vision encoder sees.

    Two attributes are optional:

    side : int, the long side, in pixels, of the images that the guide gets. Larger images are passed to it
        shrunk and in tiles (`cotam.guide.multiscale`). Without it the guide gets each image once, unshrunk.
    exponent : float; gain is importance to this power at strength 1, see
        `cotam.guide.importance.EXPONENT`
    """

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Return the importance map, float32 (gh, gw), positive and of mean 1, of pixels uint8 (H, W, 3).

        The map is an even grid over the image. This method is called from several threads at once.
        """
        ...


def load(name: str) -> Guide | None:
    """Return a guide by name, loaded once and shared by all threads.

    Parameters
    ----------
    name : "text" (where text is) or "lite" (text, and what DINOv2-S attends to), both by the built-in
        network; the path of an ONNX file (docs/guide.md); "clip:" and the name or folder of a vision
        encoder; or "none", for which None is returned

    Raises
    ------
    InputError
        If the name is unknown, or the file is not valid.
    MissingLabError
        If the guide is part of cotam-lab, which is not installed.
    """
    if name == "none":
        return None
    with _loading:
        if name.startswith("clip:"):
            return _clip(name.removeprefix("clip:"))
        if (file := file_of(name)) is not None:
            return _graph(str(file), _version(file), "text" if name == "text" else "importance")
    raise InputError(f"unknown guide {name!r}: choose from {NAMES}")


def file_of(name: str) -> Path | None:
    """Return the ONNX file of a guide by name; None without one."""
    if name in ("lite", "text"):
        return LITE
    return Path(name) if name.lower().endswith(".onnx") and not name.startswith("clip:") else None


def _version(path: Path) -> tuple[int, int]:
    """Return modification time and size, which change with the file."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"guide {path} cannot be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _graph(path: str, version: tuple[int, int], output: str) -> Guide:
    from cotam.guide.onnx import GraphGuide

    return GraphGuide(Path(path), output=output)


@lru_cache(maxsize=2)
def _clip(model: str) -> Guide:
    """Return the CLIP guide of cotam-lab; ``model`` is the name or folder of a vision encoder."""
    from importlib.metadata import entry_points  # 20 ms

    if not model:
        raise InputError("guide 'clip:' names no model: give clip:NAME or clip:FOLDER")
    for point in entry_points(group="cotam.guides", name="clip"):
        return point.load()(model)
    raise MissingLabError(f"guide 'clip:{model}'")
