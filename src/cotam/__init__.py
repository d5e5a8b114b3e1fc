"""CoTAM: image and video coding for multimodal LLMs.

>>> import cotam
>>> data = cotam.encode("photo.jpg", quality=40)
>>> image = cotam.decode(data)
>>> cotam.info(data).bpp  # doctest: +SKIP
0.21

NumPy, Pillow and ONNX Runtime are imported at the first call that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cotam._version import __version__

if TYPE_CHECKING:
    from cotam.api import Info, decode, encode, info, level_map
    from cotam.errors import CotamError
    from cotam.frames import FrameSequence, SequenceInfo, decode_frames, encode_frames, open_sequence

__all__ = [
    "CotamError",
    "FrameSequence",
    "Info",
    "SequenceInfo",
    "__version__",
    "decode",
    "decode_frames",
    "encode",
    "encode_frames",
    "info",
    "level_map",
    "open_sequence",
]

if not TYPE_CHECKING:  # a checker would take any name for one of the package

    def __getattr__(name: str) -> Any:
        """Import a public name at its first use."""
        if name in __all__:
            for module in map(import_module, ("cotam.errors", "cotam.api", "cotam.frames")):
                if name in module.__all__:
                    return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
