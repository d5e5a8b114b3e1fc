import torch
from torch.utils.flop_counter import FlopCounterMode

from cotam_lab.nets.guide_lite import Lite, LiteShape

TINY = LiteShape(widths=(8, 16, 16), blocks=(1, 1, 1))


def tiny() -> Lite:
    """A guide of random weights whose step sizes suit noise."""
    torch.manual_seed(0)
    guide = Lite(TINY).eval()
    guide.track(torch.rand(2, 3, 64, 64))
    return guide


def test_the_shipped_shape_keeps_its_budget():
    guide = Lite().eval()
    guide.track(torch.rand(1, 3, 64, 64))
    assert sum(p.numel() for p in guide.parameters()) <= 1_000_000
    with FlopCounterMode(display=False) as counter:
        guide(torch.zeros(1, 3, 128, 192))
    assert counter.get_total_flops() / 2 / (128 * 192) <= 3000


def test_every_place_sees_the_whole_picture():
    guide = tiny()
    picture = torch.rand(1, 3, 512, 64)
    other = picture.clone()
    other[:, :, :32] = 0
    assert (guide(picture)[:, :, -1] - guide(other)[:, :, -1]).abs().max() > 1e-5
