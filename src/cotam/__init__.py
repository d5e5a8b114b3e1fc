"""Cotam: pictures for multimodal LLMs in a few kB.

>>> import cotam
>>> data = cotam.encode("photo.jpg", quality=40)
>>> image = cotam.decode(data)
>>> cotam.info(data).bpp  # doctest: +SKIP
0.21

Knows how the parts are put together; nothing heavy is imported before it is used.
"""

from __future__ import annotations

from cotam._version import __version__
from cotam.api import Info, decode, encode, info, level_map
from cotam.errors import CotamError
from cotam.frames import SequenceInfo, decode_frame, decode_frames, encode_frames, sequence_info

__all__ = [
    "CotamError",
    "Info",
    "SequenceInfo",
    "__version__",
    "decode",
    "decode_frame",
    "decode_frames",
    "encode",
    "encode_frames",
    "info",
    "level_map",
    "sequence_info",
]
