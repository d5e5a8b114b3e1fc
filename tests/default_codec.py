"""The codec of the default weight set, with one thread."""

from __future__ import annotations

import numpy as np

from cotam.codec.planes import Symbols
from cotam.codec.still import Codec
from cotam.codec.weights import load
from cotam.runtime import OnnxRunner

CODEC = Codec(load(), OnnxRunner(load().folder, threads=1))


def are_equal(one: Symbols, other: Symbols) -> bool:
    """Whether all integers are the same."""
    return all(np.array_equal(value, vars(other)[name]) for name, value in vars(one).items())
