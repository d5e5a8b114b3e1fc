import pytest
import torch

from cotam_lab.nets.codec import Residual
from cotam_lab.nets.integers import set_tracking
from cotam_lab.nets.layers import Block


def gradients(module, x, rounded):
    module.zero_grad()
    x = x.detach().requires_grad_()
    found = module(x, rounded)
    (found * torch.linspace(-1, 1, found.numel()).view(found.shape)).sum().backward()
    return found.detach(), [x.grad, *(p.grad.clone() for p in module.parameters())]


def make(kind, integers):
    torch.manual_seed(0)
    module = Block(24, integers) if kind == "block" else Residual(24, 8, integers)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(3, 24, 6, 5)
    if integers:
        set_tracking(module.train(), True)
        with torch.no_grad():
            module(x, None)
        set_tracking(module, False)
    return module, x


@pytest.mark.parametrize("kind", ["block", "residual"])
@pytest.mark.parametrize(("integers", "rounded"), [(False, None), (True, 0), (True, 2), (True, None)])
def test_training_computes_what_evaluation_does(kind, integers, rounded):
    module, x = make(kind, integers)
    ours, our_slopes = gradients(module.train(), x, rounded)
    plain, plain_slopes = gradients(module.eval(), x, rounded)
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
    if not integers or rounded == 0:
        for one, other in zip(our_slopes, plain_slopes, strict=True):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
    else:  # values that round to zero have no slope in training
        for one, other in zip(our_slopes, plain_slopes, strict=True):
            assert (one - other).norm() < 0.15 * other.norm() + 1e-3


def test_training_in_bf16_stays_near_float32():
    module, x = make("block", False)
    ours, slopes = gradients(module.train(), x, None)
    with torch.autocast("cpu", torch.bfloat16):
        near = module(x)
    assert near.dtype == torch.bfloat16
    assert (near.float() - ours).norm() < 0.02 * ours.norm()
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_rounded_samples_do_not_touch_the_others():
    module, x = make("block", True)
    with torch.no_grad():
        none, two, every = (module.train()(x, rounded) for rounded in (0, 2, None))
    torch.testing.assert_close(two[2], none[2])
    torch.testing.assert_close(two[:2], every[:2])
    assert not torch.allclose(none[0], every[0], atol=1e-4)
