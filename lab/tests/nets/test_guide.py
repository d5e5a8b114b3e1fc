"""The truncated network against transformers, on tiny models of each family."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import vision_towers
from safetensors.torch import load_file, save_file
from vision_towers import FAMILIES

from cotam_lab.guides.checkpoints import load
from cotam_lab.nets.guide import FLOOR, AttentionGuide, _cubic

SIDES = {"own": (32, 32), "others": (24, 56)}


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.replace(" ", "-"))
def folder(request, tmp_path_factory):
    return vision_towers.save(request.param, tmp_path_factory.mktemp("models") / "tiny")


def outputs(folder, pixels):
    """What transformers gives for normalised pixels: attentions of all layers, and the last tokens."""
    model = vision_towers.reference(folder)
    options = {} if "dinov2" in model.config.model_type else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        return model(pixel_values=pixels, output_attentions=True, output_hidden_states=True, **options)


def looked_at(attention, guide: AttentionGuide):
    """Mean of heads of the [CLS] row, or, where there is none, of all rows."""
    return attention[:, :, 0].mean(1) if guide.shape.has_cls else attention.mean((1, 2))


@pytest.mark.parametrize("size", SIDES.values(), ids=SIDES)
def test_attention_is_that_of_transformers(folder, size):
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    guide = load(folder, (1, 2, 4))
    expected = outputs(folder, pixels).attentions
    tokens, grid = guide.tokens(pixels)
    assert grid == (size[0] // 8, size[1] // 8)
    rows = guide.rows(tokens)
    assert len(rows) == 3
    for row, number in zip(rows, (1, 2, 4), strict=True):
        wanted = looked_at(expected[number - 1], guide)
        assert wanted.max() > 2 * wanted.min()  # or a mistake would not be seen
        torch.testing.assert_close(row, wanted, atol=1e-5, rtol=0)


def test_reductions_follow_from_transformers_attentions(folder):
    pixels = torch.randint(0, 256, (1, 40, 32, 3), dtype=torch.uint8)
    mean = load(folder, (2, 3))
    scaled = (pixels.permute(0, 3, 1, 2) / 255 - mean.mean) / mean.std
    attentions = outputs(folder, scaled).attentions
    second, third = (looked_at(attentions[i], mean) for i in (1, 2))
    count = attentions[0].shape[-1]
    start = torch.eye(count)[:1] if mean.shape.has_cls else torch.full((1, count), 1 / count)
    rolled = start
    for attention in reversed(attentions[:3]):
        rolled = rolled @ (attention[0].mean(0) + torch.eye(count)) / 2
    wanted = {"mean": (second + third) / 2, "max": torch.maximum(second, third), "rollout": rolled}
    for reduction, whole in wanted.items():
        patches = whole[:, count - 20 :].reshape(1, 5, 4)
        found = load(folder, (2, 3), reduction)(pixels)
        torch.testing.assert_close(found, patches / patches.mean(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["siglip", "siglip in a whole model"])
def test_the_layer_after_siglips_last_is_its_pooling_head(family, tmp_path):
    folder = vision_towers.save(family, tmp_path)
    pixels = torch.randn(2, 3, 32, 40)
    head, tokens = vision_towers.reference(folder).head, outputs(folder, pixels).last_hidden_state
    with torch.no_grad():
        probe = head.probe.expand(2, -1, -1)
        _, expected = head.attention(probe, tokens, tokens, need_weights=True)
    guide = load(folder, (5,))
    (row,) = guide.rows(guide.tokens(pixels)[0])
    torch.testing.assert_close(row, expected[:, 0], atol=1e-5, rtol=0)


def test_layers_that_are_not_used_are_neither_read_nor_run(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if "embeddings." in name or "pre_layrnorm" in name or ".0." in name or ".1." in name
    }
    # Of the last one, layer 2, only what gives its attention.
    kept = {
        n: t
        for n, t in kept.items()
        if ".1." not in n or any(k in n for k in ("norm1", "q_proj", "k_proj", "query", "key"))
    }
    assert len(kept) < len(tensors) / 2
    save_file(kept, tmp_path / "model.safetensors")
    pixels = torch.from_numpy(vision_towers.PIXELS)[None]
    whole, part = load(folder, (1, 2)), load(tmp_path, (1, 2))
    torch.testing.assert_close(whole(pixels), part(pixels), atol=1e-5, rtol=0)
    assert sum(p.numel() for p in part.parameters()) <= sum(t.numel() for t in kept.values())


def test_importance_is_positive_with_mean_1_even_where_attention_underflows(folder):
    guide = load(folder, (1,))
    with torch.no_grad():
        guide.layers[0].q.weight *= 1000
    found = guide(torch.from_numpy(np.stack([vision_towers.PIXELS, 255 - vision_towers.PIXELS])))
    assert found.shape == (2, 5, 3)
    assert found.min() >= FLOOR / 2
    torch.testing.assert_close(found.mean((1, 2)), torch.ones(2))


@pytest.mark.parametrize("wanted", [16, 3, 9, 37, 1])
def test_cubic_matrix_is_torchs_antialiased_bicubic(wanted):
    x = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, size=(wanted, 16), mode="bicubic", antialias=True)
    torch.testing.assert_close(_cubic(16, wanted) @ x, expected, atol=1e-5, rtol=0)
