import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from cotam.errors import InputError
from cotam_lab.nets.adapter import TokenAdapter, View, added, embeddings_of


def trained(latents: int = 8, width: int = 32) -> TokenAdapter:
    """An adapter whose output is not zero."""
    torch.manual_seed(0)
    adapter = TokenAdapter(latents, width, encoder="some/encoder", weights="ab" * 32).eval()
    torch.nn.init.normal_(adapter.leave.weight, std=0.1)
    return adapter


def test_tokens_are_zero_before_training_and_learn_all_the_same():
    adapter = TokenAdapter(8, 32)
    latents = torch.randn(2, 8, 5, 7)
    view = View.of((80, 110), 14, resized=(80, 110))
    tokens = adapter(latents, torch.zeros(2, 1, 5, 7), view)
    assert tokens.shape == (2, 5 * 7, 32)
    assert not tokens.any()
    (tokens - 1).square().sum().backward()
    assert adapter.leave.weight.grad is not None
    assert adapter.leave.weight.grad.any()


@pytest.mark.parametrize(
    ("width", "ratio", "millions", "gmacs"), [(384, 2.0, 1.44, 1.08), (1024, 4.0, 13.92, 8.69)]
)
def test_size_and_cost(width, ratio, millions, gmacs):
    """Those that lab/docs/token_adapter.md states, at 24 × 24 patches of a picture of 336² pixels."""
    adapter = TokenAdapter(256, width, ratio=ratio)
    assert sum(p.numel() for p in adapter.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    view = View.of((336, 336), 14, resized=(336, 336))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as count:
        adapter(torch.zeros(1, 256, 21, 21), torch.zeros(1, 1, 21, 21), view)
    assert count.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=0.01)


@settings(max_examples=60)
@given(
    height=st.integers(30, 700),
    width=st.integers(30, 700),
    side=st.sampled_from([56, 112, 224]),
    how=st.sampled_from(["stretch", "crop", "pad"]),
    where=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
)
def test_a_marker_in_one_latent_reaches_the_patches_that_show_its_place(height, width, side, how, where):
    """Any aspect: the centre of what moves is the latent's place, as the encoder sees it."""
    patch, picture = 14, (height, width)
    if how == "stretch":
        scale, offset = (side / height, side / width), (0.0, 0.0)
    else:
        one = side / (min(picture) if how == "crop" else max(picture))
        scale, offset = (one, one), ((height * one - side) / 2, (width * one - side) / 2)
    resized = height * scale[0], width * scale[1]
    view = View.of(picture, patch, resized=resized, seen=(side, side), offset=offset)
    for axis in (0, 1):
        rows = view.resampling(axis)
        cells = math.ceil(picture[axis] / 16)
        assert rows.shape == (side // patch, cells)
        middle = ((torch.arange(side // patch) + 0.5) * patch + offset[axis]) / scale[axis]
        inside = (middle >= 0) & (middle < picture[axis])
        torch.testing.assert_close(rows.sum(1), inside.float())
        # A ramp over latents comes out as the place of each patch, but near the picture's edges.
        found = rows @ ((torch.arange(cells) + 0.5) * 16)
        reach = max(16.0, patch / scale[axis])
        away = inside & (middle > reach) & (middle < cells * 16 - reach)
        torch.testing.assert_close(found[away], middle[away], atol=1.5, rtol=0)
        # The patch that a latent moves most shows its place.
        cell = int(where[axis] * cells)
        marker = rows[:, cell]
        if marker.any():
            shown = ((cell + 0.5) * 16 * scale[axis] - offset[axis]) / patch
            assert abs(float(marker.argmax()) + 0.5 - shown) <= max(1, 16 * scale[axis] / patch) + 1e-4


@pytest.mark.parametrize("picture", [(224, 224), (224, 448), (640, 224)])
def test_a_marker_moves_the_token_of_its_place(picture):
    """Through the whole adapter: the token that changes most is where the latent changed."""
    adapter = trained()
    view = View.of(picture, 16, resized=picture)
    rows, columns = view.grid
    latents, gain = torch.randn(1, 8, rows, columns), torch.zeros(1, 1, rows, columns)
    with torch.no_grad():
        before = adapter(latents, gain, view)
        for row, column in [(0, 0), (3, columns - 1), (rows - 1, 5)]:
            marked = latents.clone()
            marked[0, :, row, column] += 0.5
            moved = (adapter(marked, gain, view) - before).norm(dim=2)[0]
            assert divmod(int(moved.argmax()), columns) == (row, column)


def test_padding_gets_no_tokens():
    view = View.of((100, 200), 14, resized=(56, 112), seen=(112, 112), offset=(-28, 0))
    tokens = trained()(torch.randn(1, 8, 7, 13), torch.zeros(1, 1, 7, 13), view)
    rows = tokens.reshape(8, 8, 32).any(2)
    assert rows.tolist() == [[2 <= row < 6] * 8 for row in range(8)]


def test_calibration_brings_channels_to_one_scale():
    torch.manual_seed(0)
    latents = torch.randn(4, 8, 9, 9) * torch.logspace(-2, 2, 8)[:, None, None] + 3
    adapter = trained()
    adapter.calibrate(latents)
    scaled = (latents - adapter.mean[:, None, None]) / adapter.std[:, None, None]
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(8), atol=1e-4, rtol=0)


def test_a_file_comes_back(tmp_path):
    adapter = trained()
    adapter.calibrate(torch.randn(2, 8, 5, 5))
    adapter.save(tmp_path / "a.safetensors")
    again = TokenAdapter.load(tmp_path / "a.safetensors")
    assert not again.training
    assert (again.encoder, again.weights, again.width) == ("some/encoder", "ab" * 32, 32)
    view = View.of((80, 80), 14, resized=(80, 80))
    given = torch.randn(1, 8, 5, 5), torch.ones(1, 1, 5, 5), view
    assert torch.equal(again(*given), adapter(*given))


def test_what_is_no_adapter_is_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no token adapter at"):
        TokenAdapter.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello, this is no safetensors file")
    with pytest.raises(InputError, match="is no token adapter"):
        TokenAdapter.load(tmp_path / "text")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is no token adapter"):
        TokenAdapter.load(tmp_path / "other.safetensors")
    card = {"latents": 8, "width": 32, "ratio": 2.0, "encoder": "", "weights": ""}
    save_file({"x": torch.zeros(2)}, tmp_path / "x", {"cotam_token_adapter": json.dumps(card)})
    with pytest.raises(InputError, match="is no token adapter") as found:
        TokenAdapter.load(tmp_path / "x")
    assert "\n" not in str(found.value)


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 14,
    "image_size": 56,
}


@pytest.mark.parametrize(
    "encoder", [CLIPVisionModel(CLIPVisionConfig(**SMALL)), Dinov2Model(Dinov2Config(**SMALL))]
)
def test_tokens_are_added_to_patches_alone_and_only_within(encoder):
    picture, tokens = torch.rand(2, 3, 56, 56), torch.randn(2, 16, 32)
    first = embeddings_of(encoder)
    with torch.no_grad():
        before = first(picture)
        with added(encoder, tokens):
            within = first(picture)
        assert torch.equal(first(picture), before)
    assert torch.equal(within[:, :1], before[:, :1])
    torch.testing.assert_close(within[:, 1:], before[:, 1:] + tokens)
    with pytest.raises(InputError, match="do not fit"), added(encoder, torch.zeros(2, 16, 33)):
        first(picture)
    torch.testing.assert_close(first(picture), before)
