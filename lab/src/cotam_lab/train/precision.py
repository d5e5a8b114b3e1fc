"""Number formats of training: bf16 where it is faster than float32.

Most GPUs and CPUs with AMX, or AMD's AVX512-BF16, are up to twice as fast with it; Intel CPUs without AMX take twice
as long.
"""

from __future__ import annotations

import time
from functools import cache

import torch
import torch.nn.functional as F

__all__ = ["autocast", "bf16_pays"]

SHAPE = (656, 384, 1536)
"""Tokens, inputs and outputs of the timed layer, one of DINOv2-S."""


def autocast(device: str) -> torch.autocast:
    """Return a context that computes in bf16, if that is faster on this type of device."""
    return torch.autocast(device, torch.bfloat16, enabled=bf16_pays(device))


@cache
def bf16_pays(device: str) -> bool:
    """Whether a layer is faster in bf16. On a CPU it is timed once per process, in some 30 ms."""
    return device != "cpu" or _seconds(torch.bfloat16) < _seconds(torch.float32)


@torch.no_grad()
def _seconds(dtype: torch.dtype) -> float:
    rows, inputs, outputs = SHAPE
    x, weight = torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        F.linear(x, weight)
        taken.append(time.perf_counter() - began)
    return min(taken)
