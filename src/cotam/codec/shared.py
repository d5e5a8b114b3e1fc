"""The learned codec of each installed weight set, loaded once and shared by all threads."""

from __future__ import annotations

from threading import Lock

from cotam.codec import weights
from cotam.codec.still import Codec
from cotam.runtime import OnnxRunner

__all__ = ["codec", "codec_of"]

_codecs: dict[str, Codec] = {}
_loading = Lock()


def codec(name: str = weights.DEFAULT) -> Codec:
    """Return the codec of an installed weight set.

    Raises
    ------
    UnknownWeightsError
        If no set of this name is installed.
    """
    with _loading:
        if name not in _codecs:
            found = weights.load(name)
            _codecs[name] = Codec(found, OnnxRunner(found.folder))
        return _codecs[name]


def codec_of(short_hash: bytes) -> Codec:
    """Return the codec of the weight set that a header names.

    Raises
    ------
    UnknownWeightsError
        If that set is not installed.
    """
    return codec(weights.by_hash(short_hash).name)
