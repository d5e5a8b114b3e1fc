import math

import pytest
import torch

from cotam_lab.nets.entropy import INDEX_OF_ONE, TABLES, PerQuality, ScaleNetwork, anchor_weights, bits


@pytest.mark.parametrize("index", [1, 12, 24, 36])
def test_bits_are_those_of_a_distribution_with_the_named_deviation(index):
    reach = 6000
    values = torch.arange(-reach, reach + 1, dtype=torch.float64)
    mass = torch.exp2(-bits(values, torch.tensor(float(index), dtype=torch.float64)))
    assert math.isclose(mass.sum().item(), 1.0, abs_tol=1e-6)
    deviation = (mass * values**2).sum().sqrt().item()
    nominal = 2 ** ((index - INDEX_OF_ONE) / 4)
    # Rounding to integers adds a twelfth to the variance; below one step hardly anything is left to measure.
    if nominal >= 1:
        assert math.isclose(deviation, math.sqrt(nominal**2 + 1 / 12), rel_tol=0.02)


def test_bits_have_finite_gradients_far_from_zero():
    residual = torch.tensor([0.0, 30.0, -500.0], requires_grad=True)
    index = torch.tensor([1.0, 1.0, 4.0], requires_grad=True)
    bits(residual, index).sum().backward()
    assert residual.grad is not None
    assert index.grad is not None
    assert torch.isfinite(residual.grad).all()
    assert torch.isfinite(index.grad).all()
    assert residual.grad[1] > 0 > residual.grad[2], "less residual must cost less"
    assert index.grad[1] < 0, "a wider table must cost less where the residual is large"


def test_per_quality_interpolates_between_anchors():
    table = PerQuality(torch.arange(11.0)[:, None] * 10, unit=4.0)
    assert torch.allclose(table.table()[:, 0], torch.arange(101.0))
    assert torch.allclose(table(torch.tensor([37]))[0, 0, 0, 0], torch.tensor(37.0))
    assert torch.allclose(anchor_weights().sum(1), torch.ones(101))


def test_scale_network_gives_table_indices_and_a_level_moves_them_by_one():
    torch.manual_seed(1)
    network = ScaleNetwork(hyper=16, latents=24)
    z = torch.randint(-255, 256, (1, 16, 3, 2)).float()
    with torch.no_grad():
        tables = [t[40][None, :, None, None] for t in network.quality_tables()]
        low = network(z, torch.zeros(1, 1, 6, 4), *tables)
        high = network(z, torch.ones(1, 1, 6, 4), *tables)
    assert low.shape == (1, 24, 12, 8)
    assert torch.equal(low, low.round())
    assert 0 <= low.min() <= low.max() < TABLES
    inside = (low > 0) & (low < TABLES - 1)
    assert inside.any()
    # Untrained, the network does not look at levels itself: only the shift is left.
    assert torch.equal(high[inside], low[inside] + 1)
