import numpy as np
import pytest
import torch
from tiny import CODEC as TINY
from tiny import codec as tiny
from tiny import decoded

from cotam_lab.nets.codec import Codec, Shape, log2_gain, tradeoff
from cotam_lab.nets.dct import block_transform, dct_rows
from cotam_lab.nets.entropy import bits, total_bits
from cotam_lab.nets.integers import set_tracking
from cotam_lab.nets.quadtree import step_masks


def smooth_picture(height: int, width: int) -> torch.Tensor:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = [np.sin(5 * x + 3 * y), np.cos(4 * y), np.sin(6 * x * y)]
    return torch.from_numpy(np.stack(planes)[None] * 0.4 + 0.5).float()


def run(codec, quality=50, level=0.0, noise=True, adapted=False):
    picture = smooth_picture(64, 128)
    levels = torch.full((1, 1, 2, 4), level)
    return picture, codec(picture, torch.tensor([quality]), levels, noise=noise, adapted=adapted)


def test_each_latent_is_coded_in_exactly_one_step():
    masks = step_masks(torch.zeros(1, 32, 5, 7))
    assert torch.equal(sum(masks), torch.ones(1, 32, 5, 7))
    assert all(mask.mean() == pytest.approx(0.25, abs=0.05) for mask in masks)


def test_training_pass_reaches_every_parameter_with_a_finite_gradient():
    codec = tiny().train()
    for residual in (*codec.adapter.sixteenth, *codec.adapter.eighth):
        torch.nn.init.normal_(residual.leave.weight, std=0.1)  # zero as it starts, it hides what is before it
    picture, coded = run(codec, level=2.0, adapted=True)
    (coded.bits_y.sum() + coded.bits_z.sum() + (coded.image - picture).square().sum() * 1e4).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # The anchors of other qualities and weights clamped away may stay at zero; whole tensors may not.
        assert parameter.grad.abs().sum() > 0, name


def test_an_untrained_adapter_changes_nothing_and_without_it_the_picture_stays():
    codec = tiny()
    plain, adapted = (run(codec, noise=False, adapted=on)[1].image for on in (False, True))
    assert torch.equal(plain, adapted)
    for residual in codec.adapter.eighth:
        torch.nn.init.normal_(residual.leave.weight)
    assert torch.equal(plain, run(codec, noise=False)[1].image)
    assert not torch.allclose(plain, run(codec, noise=False, adapted=True)[1].image, atol=1e-3)


def test_the_adapter_costs_at_most_15_per_cent_of_the_synthesis():
    codec = Codec()

    def products(module: torch.nn.Module) -> float:
        """Multiplications for a position at 1/8: those at 1/16 count a quarter."""
        total = 0.0
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                total += parameter.numel() / (
                    4 if "sixteenth" in name or name.startswith(("enter", "up")) else 1
                )
        return total

    assert products(codec.adapter) <= 0.15 * products(codec.synthesis)


def test_decoder_side_rebuilds_the_latents_of_the_encoder_side():
    torch.manual_seed(0)
    codec = Codec(TINY).eval()
    features, gain = torch.randn(1, 16, 4, 6), torch.zeros(1, 1, 4, 6)
    latents, gains = torch.randn(1, 32, 4, 6) * 5, torch.full((1, 32, 4, 6), 1.7)
    live = (torch.rand(1, 32, 4, 6) > 0.2).float()
    with torch.no_grad():
        set_tracking(codec, True)
        codec.means.encode(features, gain, latents, gains, live)
        set_tracking(codec, False)
        residual, known = codec.means.encode(features, gain, latents, gains, live)
        symbols = torch.round(residual) * live
        again = decoded(codec.means, features, gain, symbols / gains)
    torch.testing.assert_close(again, known, atol=1e-4, rtol=1e-4)
    assert (symbols != 0).any()


def test_quality_and_levels_raise_the_rate_and_lower_the_error():
    codec = tiny()
    rows = []
    with torch.no_grad():
        for quality, level in ((10, 0.0), (50, -4.0), (50, 0.0), (50, 4.0), (90, 0.0)):
            picture, coded = run(codec, quality, level, noise=False)
            rows.append((float(coded.bits_y), float((coded.image - picture).square().mean())))
    assert [r[0] for r in rows] == sorted(r[0] for r in rows)
    assert rows[-1][1] < rows[0][1]


def test_gain_follows_the_root_of_lambda():
    quality = torch.tensor([20.0, 70.0])
    ratio = (tradeoff(quality)[1] / tradeoff(quality)[0]).sqrt()
    assert torch.exp2(log2_gain(quality)[1] - log2_gain(quality)[0]) == pytest.approx(float(ratio), rel=1e-5)


def test_dct_rows_are_orthonormal_and_begin_with_the_mean():
    rows = dct_rows(8)
    np.testing.assert_allclose(rows @ rows.T, np.eye(64), atol=1e-12)
    np.testing.assert_allclose(rows[0], 1 / 8)
    transform = block_transform(8, 128)
    assert transform.shape == (128, 192)
    np.testing.assert_allclose(transform @ transform.T, np.eye(128), atol=1e-12)


def test_a_network_started_from_the_dct_passes_a_smooth_picture_through():
    codec = tiny(shape=Shape())
    picture = smooth_picture(64, 64)
    with torch.no_grad():
        again = codec.synthesis(codec.analysis(picture), torch.zeros(1, 1, 4, 4))
    assert -10 * torch.log10((again - picture).square().mean()) > 28


def test_rounded_residuals_are_paid_for_and_small_ones_are_still_pulled_to_zero():
    torch.manual_seed(0)
    residual = torch.tensor([-1.4, -0.3, 0.0, 0.45, 2.2]).repeat(4000, 1).requires_grad_()
    index = torch.full_like(residual, 20.0).requires_grad_()
    noise = torch.rand_like(residual) - 0.5
    paid = total_bits(residual, index, noise, True)
    exact = index.detach().clone().requires_grad_()
    rounded = bits(residual.detach().round(), exact)
    torch.testing.assert_close(paid, rounded.sum(1))
    paid.sum().backward()
    rounded.sum().backward()
    torch.testing.assert_close(index.grad, exact.grad)
    # On average the slope is what the next half to either side differ by.
    ours = residual.grad.mean(0)
    expected = [
        float(bits(r + 0.5, torch.tensor(20.0)) - bits(r - 0.5, torch.tensor(20.0)))
        for r in residual.detach()[0]
    ]
    torch.testing.assert_close(ours, torch.tensor(expected), atol=0.1, rtol=0.02)
    assert ours[3] > 0.03 > ours[2].abs()


def test_total_bits_and_their_slopes_are_those_of_bits():
    torch.manual_seed(0)
    residual = torch.randn(3, 5, 7) * 4
    index, noise = torch.randint(1, 48, (3, 5, 7)).float(), torch.rand(3, 5, 7) - 0.5
    slopes = []
    for ours in (True, False):
        r, i = residual.clone().requires_grad_(), index.clone().requires_grad_()
        found = total_bits(r, i, noise, False) if ours else bits(r + noise, i).sum((1, 2))
        (found * torch.tensor([1.0, 2.0, -1.0])).sum().backward()
        slopes.append((found.detach(), r.grad, i.grad))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)
