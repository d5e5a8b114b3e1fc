"""The learned codec of each installed weight set, loaded once and shared by all threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, wait
from threading import Lock

from cotam.codec import weights
from cotam.codec.still import Codec
from cotam.runtime import Beside, OnnxRunner, usable_processors

__all__ = ["codec", "codec_of", "open_ahead"]

_codecs: dict[str, Codec] = {}
_loading = Lock()
_ahead: list[Future[None]] = []
if hasattr(os, "register_at_fork"):
    # A child process would wait forever for locks held by a thread that it does not have.
    os.register_at_fork(before=lambda: wait(_ahead))


def codec(name: str = weights.DEFAULT) -> Codec:
    """Return the codec of an installed weight set.

    Raises UnknownWeightsError if no set of this name is installed.
    """
    with _loading:
        if name not in _codecs:
            found = weights.load(name)
            _codecs[name] = Codec(found, OnnxRunner(found.folder))
        return _codecs[name]


def codec_of(short_hash: bytes, ahead: Sequence[str] = ()) -> Codec:
    """Return the codec of the weight set that a header names, and open graphs ``ahead`` (`open_ahead`).

    Raises UnknownWeightsError if that set is not installed.
    """
    name = weights.by_hash(short_hash).name
    open_ahead(name, ahead)
    return codec(name)


def open_ahead(name: str, graphs: Sequence[str]) -> None:
    """Load a weight set and open graphs, in this order, in a thread that then ends.

    Errors are raised where the set is used. Does nothing if the set is loaded, or with a single processor,
    where a thread would save no time.
    """
    if graphs and name not in _codecs and usable_processors() > 1:
        pool = Beside(1)
        _ahead.append(pool.submit(_open, name, graphs))
        pool.shutdown(wait=False)


def _open(name: str, graphs: Sequence[str]) -> None:
    runner = codec(name).runner
    assert isinstance(runner, OnnxRunner)
    for graph in graphs:
        runner.open(graph)
