import torch

from cotam_lab.nets.integers import WEIGHT_LIMIT, Steps, int8_weight, set_tracking, weight_steps


def test_weights_are_integers_within_63_for_each_channel():
    torch.manual_seed(0)
    weight = torch.randn(12, 8, 3, 3) * torch.logspace(-3, 2, 12).view(-1, 1, 1, 1)
    integers = int8_weight(weight) / weight_steps(weight)
    torch.testing.assert_close(integers, integers.round(), atol=1e-3, rtol=0)
    assert torch.equal(integers.abs().flatten(1).amax(1).round(), torch.full((12,), float(WEIGHT_LIMIT)))
    # AVX2 adds two products of uint8 and int8 in 16 bits.
    assert 2 * 255 * WEIGHT_LIMIT < 2**15


def test_a_channel_of_zeros_stays_zero():
    assert torch.equal(int8_weight(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_steps_are_those_of_least_squared_error():
    torch.manual_seed(0)
    steps = Steps((True, False))
    x = torch.randn(2, 4, 200, 200)
    x[0, 0, 0, 0] = 40  # one outlier that is better clipped
    steps.track(0, x)
    steps.track(1, x.relu())
    assert steps.steps[0] < 40 / 127
    assert steps.steps[0] > 3 / 127
    set_tracking(steps, False)
    error = (steps.scaled(0, x) * steps.steps[0] - x).square().mean()
    wide = ((x / (40 / 127)).round() * (40 / 127) - x).square().mean()
    assert error < wide
    rounded = steps.scaled(1, x.relu())
    assert torch.equal(rounded, rounded.round())
    assert 0 <= rounded.min() <= rounded.max() <= 255


def test_steps_follow_slowly_and_only_while_tracked():
    steps = Steps((False,))
    steps.track(0, torch.rand(1000))
    first = steps.steps.clone()
    steps.track(0, 2 * torch.rand(1000))
    assert first < steps.steps < 1.5 * first
    steps.scaled(0, 100 * torch.rand(1, 1000))
    assert steps.steps < 1.5 * first
