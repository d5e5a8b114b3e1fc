"""Fitting the context of the hyper latents."""

import copy

import numpy as np
import torch
from tiny import CODEC

from cotam_lab.nets.codec import Codec
from cotam_lab.train.hyper_context import fit, hyper_latents


def smooth_images(count=16):
    rng = np.random.default_rng(0)
    for colour in rng.integers(0, 256, (count, 3), dtype=np.uint8):
        yield np.broadcast_to(colour, (192, 256, 3))


def test_neighbours_save_bits_and_nothing_else_changes():
    torch.manual_seed(1)
    codec = Codec(CODEC).eval()
    before = copy.deepcopy(codec.state_dict())
    latents = hyper_latents(codec, smooth_images())
    assert [tuple(z.shape[2:]) for z in latents] == [(3, 4)] * 16
    z = torch.randn(16, codec.shape.hyper, 1, 1).expand(-1, -1, 5, 7) * 6  # neighbours are equal
    lines = []
    fit(codec, list(z.split(1)), 60, note=lines.append)
    first, *_, last = (float(line.split()[-4]) for line in lines)
    assert last < 0.8 * first
    changed = {
        name.partition(".")[0] for name, value in codec.state_dict().items() if (value != before[name]).any()
    }
    assert changed == {"hyper_context", "z_index"}


def test_what_does_not_help_is_dropped():
    codec = Codec(CODEC).eval()
    z = torch.zeros(24, codec.shape.hyper, 3, 3)
    z[::12] = 8 * torch.randn(2, codec.shape.hyper, 3, 3)  # what is held out is unlike the rest
    before = copy.deepcopy(codec.state_dict())
    lines = []
    fit(codec, list(z.split(1)), 20, note=lines.append)
    found = [float(line.split()[-4]) for line in lines]
    kept = found[0] == min(found)
    same = all((value == before[name]).all() for name, value in codec.state_dict().items())
    assert kept == same
