import pytest
import torch

from cotam_lab.nets.codec import Residual
from cotam_lab.nets.integers import set_tracking
from cotam_lab.nets.layers import NEGATIVE_SLOPE, Block


def gradients(module, x):
    module.zero_grad()
    x = x.detach().requires_grad_()
    found = module(x)
    (found * torch.linspace(-1, 1, found.numel()).view(found.shape)).sum().backward()
    return found.detach(), [x.grad, *(p.grad.clone() for p in module.parameters())]


def make(kind, integers):
    torch.manual_seed(0)
    if kind == "residual":
        module = Residual(24, 8)
    else:
        module = Block(24, integers=integers, slope=0.0 if kind == "relu" else NEGATIVE_SLOPE)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(3, 24, 6, 5)
    if integers:
        set_tracking(module.train(), True)
        with torch.no_grad():
            module(x)
        set_tracking(module, False)
    return module, x


@pytest.mark.parametrize(
    ("kind", "integers"), [("leaky", False), ("leaky", True), ("relu", True), ("residual", True)]
)
def test_training_computes_what_evaluation_does(kind, integers):
    module, x = make(kind, integers)
    ours, our_slopes = gradients(module.train(), x)
    plain, plain_slopes = gradients(module.eval(), x)
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
    for one, other in zip(our_slopes, plain_slopes, strict=True):
        if integers:  # values that round to zero have no slope in training
            assert (one - other).norm() < 0.15 * other.norm() + 1e-3
        else:
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_training_in_bf16_stays_near_float32():
    module, x = make("leaky", False)
    ours, slopes = gradients(module.train(), x)
    with torch.autocast("cpu", torch.bfloat16):
        near = module(x)
    assert near.dtype == torch.bfloat16
    assert (near.float() - ours).norm() < 0.02 * ours.norm()
    assert all(torch.isfinite(slope).all() for slope in slopes)
