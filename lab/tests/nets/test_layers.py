import numpy as np
import pytest
import torch

from cotam_lab.nets.layers import IntegerConv, Patches, Pointwise, Unpatch, clamp_ste, requantise, round_ste


def test_round_passes_the_gradient_and_rounds_ties_to_even():
    x = torch.tensor([0.5, 1.5, -2.5, 0.7], requires_grad=True)
    y = round_ste(x)
    y.sum().backward()
    assert y.tolist() == [0.0, 2.0, -2.0, 1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [1.0] * 4


def test_clamp_lets_gradients_lead_back_inside_only():
    x = torch.tensor([-3.0, -3.0, 0.5, 9.0, 9.0], requires_grad=True)
    # Descent moves against the gradient: a negative one pushes up.
    (clamp_ste(x, 0, 4) * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(("inputs", "k", "groups"), [(192, 1, 1), (64, 3, 64)])
def test_integer_convolution_equals_int64_arithmetic_at_the_extremes(inputs, k, groups):
    torch.manual_seed(0)
    conv = IntegerConv(inputs, 64, k, groups)
    conv.weight.data.uniform_(-1.2, 1.2)
    conv.bias.data.uniform_(-50, 50)
    x = torch.randint(-255, 256, (2, inputs, 6, 5)).float()
    x[0] = 255
    with torch.no_grad():
        weight, bias = conv.integers()
        got = conv(x)
    assert weight.abs().max() == 127
    padded = np.pad(x.numpy().astype(np.int64), ((0, 0), (0, 0), (k // 2,) * 2, (k // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    w = weight.numpy().astype(np.int64)
    if groups == 1:
        expected = np.einsum("bihwuv,oiuv->bohw", windows, w)
    else:
        expected = np.einsum("bohwuv,ouv->bohw", windows, w[:, 0])
    expected = expected + bias.numpy().astype(np.int64)[None, :, None, None]
    assert np.array_equal(got.numpy().astype(np.int64), expected)


def test_integer_convolution_refuses_a_fan_in_that_float32_cannot_hold():
    with pytest.raises(ValueError, match="fan-in 300"):
        IntegerConv(300, 8)


def test_requantise_stays_within_a_byte():
    sums = torch.tensor([-5000.0, 64.0, 192.0, 1e6])
    assert requantise(sums).tolist() == [0.0, 0.0, 2.0, 255.0]


def test_pointwise_is_the_same_in_training_and_in_evaluation():
    layer, x = Pointwise(5, 7), torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(layer.train()(x), layer.eval()(x))


def test_patches_and_unpatch_with_transposed_weights_are_inverse():
    patches, unpatch = Patches(3, 48, 4), Unpatch(48, 3, 4)
    q, _ = torch.linalg.qr(torch.randn(48, 48))
    patches.weight.data, unpatch.pointwise.weight.data = q, q.T.contiguous()
    x = torch.randn(1, 3, 8, 12)
    torch.testing.assert_close(unpatch(patches(x)), x, atol=1e-5, rtol=0)
