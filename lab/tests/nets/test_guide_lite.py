import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cotam_lab.nets.guide_lite import HEADS, RELATIVE, Lite, LiteShape, structure

TINY = LiteShape(widths=(8, 16, 16), blocks=(1, 1, 1))


def tiny(mixture=(1, 0, 0, 8)) -> Lite:
    """A guide of random weights whose step sizes suit noise."""
    torch.manual_seed(0)
    guide = Lite(TINY, mixture).eval()
    guide.track(torch.rand(2, 3, 64, 64))
    return guide


def test_the_shipped_shape_keeps_its_budget():
    guide = Lite().eval()
    guide.track(torch.rand(1, 3, 64, 64))
    assert sum(p.numel() for p in guide.parameters()) <= 1_000_000
    with FlopCounterMode(display=False) as counter:
        guide(torch.zeros(1, 3, 128, 192))
    assert counter.get_total_flops() / 2 / (128 * 192) <= 3000


def test_importance_is_positive_and_finite_whatever_the_maps():
    guide = tiny()
    guide.leave.weight.data *= 1e4
    found = guide.importance(torch.rand(2, 3, 64, 96))
    assert found.shape == (2, 4, 6)
    assert found.min() > 0
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("head", range(RELATIVE))
def test_the_mixture_chooses_maps(head):
    guide = tiny([float(i == head) for i in range(len(HEADS))])
    picture = torch.rand(1, 3, 64, 64)
    octaves, chosen = guide.importance(picture).log2(), guide(picture)[:, head]
    torch.testing.assert_close(octaves - octaves.mean(), chosen - chosen.mean(), atol=1e-5, rtol=0)


class Mapped(Lite):
    """A guide whose maps are given."""

    def __init__(self, maps, mixture):
        super().__init__(TINY, mixture)
        self.given = maps

    def forward(self, picture):
        return self.given


def test_text_and_what_is_around_it_is_never_starved():
    maps = torch.full((1, len(HEADS), 5, 5), -4.0)
    maps[:, :RELATIVE] = torch.linspace(-3, 3, 5)  # importance rises to the right
    maps[:, RELATIVE, 2, 1] = 0.0
    plain = Mapped(maps, (1, 0, 0, 0)).importance(maps)[0]
    found = Mapped(maps, (1, 0, 0, 4)).importance(maps)[0]
    near = torch.zeros(5, 5, dtype=torch.bool)
    near[1:4, 0:3] = True
    torch.testing.assert_close(found[near], torch.full((9,), 4.0).maximum(plain[near]))
    torch.testing.assert_close(found[~near], plain[~near].clamp(min=4 / 2**8))


def test_every_place_sees_the_whole_picture():
    guide = tiny()
    picture = torch.rand(1, 3, 512, 64)
    other = picture.clone()
    other[:, :, :32] = 0
    assert (guide(picture)[:, :, -1] - guide(other)[:, :, -1]).abs().max() > 1e-5


def test_structure_counts_what_varies_and_where_text_is():
    flat = torch.full((1, 3, 32, 64), 0.5)
    text = torch.zeros(1, 2, 4)
    assert structure(flat, text).max() < 1e-3  # blank paper counts nothing
    striped = flat.clone()
    striped[..., :16:2] += 0.25
    near, everywhere = structure(striped, text)[0]
    assert near == 0
    left = striped[:, 0, :, :32].std(correction=0)
    torch.testing.assert_close(everywhere, left, atol=2e-4, rtol=0)
    text[:, :, :1] = 1  # half of the cells of 16 pixels in the left cell of 32
    torch.testing.assert_close(structure(striped, text)[0, 0], left / 2, atol=2e-4, rtol=0)
