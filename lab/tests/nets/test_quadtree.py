import torch
from tiny import CODEC as TINY
from tiny import all_means

from cotam_lab.nets.codec import Means
from cotam_lab.nets.integers import set_tracking
from cotam_lab.nets.layers import round_ste
from cotam_lab.nets.quadtree import PLACES, merge, quantise, split, step_masks, turns


def test_quarters_are_what_the_masks_say():
    x = torch.randn(2, 16, 4, 6)
    quarters = split(x)
    assert all(q.shape == (4, 2, 2, 3, 4) for q in quarters)
    for count in range(1, 5):
        mask = sum(step_masks(x)[:count])
        torch.testing.assert_close(merge(quarters[:count]), x * mask)
    for turn, (row, column) in enumerate(PLACES):
        torch.testing.assert_close(turns(x)[turn], x[:, :, row::2, column::2].permute(0, 2, 3, 1))


def test_splitting_merging_and_turning_pass_gradients():
    x = torch.randn(1, 8, 4, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: tuple(split(t)), x)
    assert torch.autograd.gradcheck(lambda t: merge(split(t)[:3]), x)
    assert torch.autograd.gradcheck(turns, x)


def test_quantising_has_the_slopes_of_the_plain_formula():
    torch.manual_seed(0)
    live = (torch.rand(4, 1, 2, 2, 3) > 0.3).double()
    inputs = [torch.randn(live.shape, dtype=torch.double, requires_grad=True) for _ in range(2)]
    gain = torch.rand(live.shape, dtype=torch.double).add(0.5).requires_grad_()
    inputs = [*inputs, gain]
    grads = []
    for ours in (True, False):
        y, mean, g = (t.detach().clone().requires_grad_() for t in inputs)
        if ours:
            scaled, known = quantise(y, mean, g, live)
        else:
            scaled = (y - mean) * g
            known = mean + round_ste(scaled) * live / g
        (scaled.sin().sum() + (known * torch.arange(known.numel()).view(known.shape)).sum()).backward()
        grads.append((scaled.detach(), known.detach(), y.grad, mean.grad, g.grad))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_means_of_quarters_are_those_of_all_latents():
    torch.manual_seed(0)
    means = Means(TINY).eval()
    features, gain, known = torch.randn(2, 16, 4, 6), torch.randn(2, 1, 4, 6), torch.randn(2, 32, 4, 6)
    set_tracking(means, True)
    with torch.no_grad():
        for step in range(4):
            all_means(means, step, features, gain, known)
        set_tracking(means, False)
        for step in range(4):
            every = all_means(means, step, features, gain, known)
            torch.testing.assert_close(means.quarter(step, features, gain, known), split(every)[step])
