"""CoTAM: image and video coding for multimodal LLMs.

>>> import cotam
>>> data = cotam.encode("photo.jpg", quality=40)
>>> image = cotam.decode(data)
>>> cotam.info(data).bpp  # doctest: +SKIP
0.21

NumPy, Pillow and ONNX Runtime are imported at the first call that needs them.
"""

from __future__ import annotations

from cotam._version import __version__
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
