import numpy as np
import torch
from tiny import CODEC

from cotam_lab.nets.codec import Codec
from cotam_lab.nets.hyper import HyperContext
from cotam_lab.nets.integers import Steps
from cotam_lab.nets.quadtree import step_masks


def context(seed=0, wide=24):
    torch.manual_seed(seed)
    found = HyperContext(8, wide)
    for parameter in found.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return found.eval()


def predict(network, z):
    quality = torch.tensor([30])
    multiplier = torch.full((1, 8, 1, 1), 5000.0)
    with torch.no_grad():
        return network.predict(z, multiplier, torch.full_like(z, 20.0), quality)


def test_nothing_depends_on_what_is_coded_later():
    network, rng = context(), np.random.default_rng(0)
    z = torch.from_numpy(rng.integers(-255, 256, (1, 8, 5, 7))).float()
    before = predict(network, z)
    for step, mask in enumerate(step_masks(z)):
        later = sum(step_masks(z)[step:]) > 0
        after = predict(network, torch.where(later, -z, z))
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[mask > 0], new[mask > 0])
    assert len(before[0].unique()) > 5
    assert len(before[1].unique()) > 5


def test_means_and_tables_are_integers_in_range():
    means, indices = predict(context(), torch.full((1, 8, 4, 4), 255.0))
    for found in (means, indices):
        assert torch.equal(found, found.round())
    assert 1 <= indices.min() <= indices.max() <= 47


def test_gradients_reach_the_context():
    torch.manual_seed(0)
    codec = Codec(CODEC).eval()
    for steps in (m for m in codec.modules() if isinstance(m, Steps)):
        steps.steps.fill_(0.05)
    coded = codec(torch.rand(1, 3, 128, 128), torch.tensor([50]), torch.zeros(1, 1, 4, 4))
    coded.bits_z.sum().backward()
    assert codec.hyper_context.leave.weight.grad.abs().sum() > 0
    assert codec.hyper_context.place.grad.abs().sum() > 0
