import json

import pytest
import torch
from tiny import SMALL, reader
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, SiglipVisionConfig
from transformers import SiglipVisionModel as SiglipModel

from cotam.errors import InputError
from cotam_lab.nets.codec import Coded
from cotam_lab.nets.teachers import LEVELS, Teacher, distances, load_teacher
from cotam_lab.train.losses import (
    SETTINGS,
    Batch,
    MultiLevel,
    Weights,
    contrast_weight,
    rate_contrast,
    rate_distortion,
)

FAMILIES = {
    "clip": (CLIPVisionConfig, CLIPVisionModel),
    "siglip": (SiglipVisionConfig, SiglipModel),
    "dinov2": (Dinov2Config, Dinov2Model),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def folder(family, tmp_path):
    config, model = FAMILIES[family]
    torch.manual_seed(0)
    model(config(**SMALL)).save_pretrained(tmp_path / family)
    return tmp_path / family


def batch(text=(False, True), quality=(30, 60), progress=0.5) -> Batch:
    torch.manual_seed(1)
    picture = torch.rand(2, 3, 128, 128)
    levels = torch.zeros(2, 1, 4, 4)
    return Batch(picture, torch.tensor(quality), levels, torch.tensor(text), progress)


def coded(picture: torch.Tensor) -> Coded:
    return Coded(picture, picture, torch.full((2,), 800.0), torch.full((2,), 50.0))


def test_a_teacher_of_each_family_sees_what_transformers_sees(family, folder):
    teacher = load_teacher(str(folder))
    torch.manual_seed(2)
    picture = torch.rand(2, 3, 112, 112)
    features = teacher(picture)
    assert features.grid == (8, 8)
    assert set(features.levels) == set(LEVELS)
    plain = FAMILIES[family][1].from_pretrained(folder).eval()
    with torch.no_grad():
        states = plain((picture - teacher.mean) / teacher.std, output_hidden_states=True).hidden_states
    skip = 0 if family == "siglip" else 1
    for name, layer in zip(LEVELS, (0, 2, 4, 6, 8), strict=True):
        tokens = states[layer][:, skip:]
        expected = (tokens - tokens.mean(2, keepdim=True)) / (
            tokens.var(2, keepdim=True, correction=0) + 1e-5
        ).sqrt()
        torch.testing.assert_close(features.levels[name], expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_pixels_and_not_the_teacher(folder):
    teacher = load_teacher(str(folder))
    picture = torch.rand(1, 3, 60, 90, requires_grad=True)  # neither the encoder's size nor whole patches
    features = teacher(picture, 42)
    assert features.grid == (2, 3)
    distances(features, teacher(picture.detach() * 0.5, 42))["deep"].sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert all(not p.requires_grad for p in teacher.parameters())


def test_attention_is_a_distribution_where_there_is_a_class_token(family, folder):
    picture = torch.rand(2, 3, 56, 84)
    teacher = load_teacher(str(folder), attention=True)
    if family == "siglip":
        with pytest.raises(InputError, match="no \\[CLS\\] attention"):
            teacher(picture, attention=True)
        return
    rows = teacher(picture, attention=True).attention
    assert rows is not None
    assert rows.shape == (2, 24)
    torch.testing.assert_close(rows.sum(1), torch.ones(2))


def test_what_is_no_teacher_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="hf download") as missing:
        load_teacher(str(tmp_path / "nothing"))
    assert "\n" not in str(missing.value)
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="is a bert model"):
        load_teacher(str(tmp_path / "bert"))


def test_equal_pictures_cost_their_rate_alone(folder):
    objective = MultiLevel(load_teacher(str(folder)), reader(), SETTINGS["mllm"])
    given = batch()
    parts = objective(coded(given.image), given)
    assert all(float(parts[name]) == pytest.approx(0, abs=1e-6) for name in (*LEVELS, "reader", "mse"))
    assert parts["loss"] == pytest.approx(float(rate_distortion(coded(given.image), given)["loss"]))


def test_each_part_of_the_loss_sees_a_change(folder):
    torch.manual_seed(0)
    given = batch()
    decoded = (given.image + 0.1 * torch.randn_like(given.image)).clamp(0, 1).requires_grad_()
    parts = MultiLevel(load_teacher(str(folder)), reader(), SETTINGS["mllm"])(coded(decoded), given)
    assert all(float(parts[name].detach()) > 0 for name in (*LEVELS, "reader", "mse"))
    parts["loss"].backward()
    assert decoded.grad is not None
    assert (decoded.grad.abs().sum((1, 2, 3)) > 0).all()


def test_the_papers_setting_begins_with_low_levels(folder):
    teacher = load_teacher(str(folder))
    noisy = batch().image.flip(0)

    def loss(weights: Weights, progress: float) -> float:
        torch.manual_seed(3)
        given = batch(text=(False, False), progress=progress)
        return float(MultiLevel(teacher, None, weights)(coded(noisy), given)["loss"])

    paper = SETTINGS["paper"]
    assert loss(paper, 0.1) < loss(paper, 0.9)
    low = Weights(0.0, {"patch": 0.1}, 0.0, 1.0, 0.0)
    assert loss(paper, 0.1) == pytest.approx(loss(low, 0.1), rel=1e-6)


def test_squared_error_weighs_more_where_the_level_is_higher():
    picture = torch.zeros(1, 3, 64, 64)
    levels = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]])
    given = Batch(picture, torch.tensor([50]), levels, torch.tensor([False]), 0.0)

    def loss(row: int) -> float:
        decoded = picture.clone()
        decoded[:, :, row : row + 32, :32] = 0.1
        return float(rate_distortion(Coded(decoded, picture, torch.zeros(1), torch.zeros(1)), given)["loss"])

    assert loss(0) == pytest.approx(4 * loss(32), rel=1e-5)


def test_a_teacher_stays_in_evaluation_mode(folder):
    teacher = load_teacher(str(folder))
    assert isinstance(teacher, Teacher)
    teacher.train()
    assert not any(module.training for module in teacher.modules())


def test_contrast_is_what_counts_on_text():
    given = batch()
    given.image[:] = 0.9
    given.image[:, :, 40:60, 40:60:4] = 0.1  # strokes

    def cost(row: int, objective, text: tuple[bool, bool]) -> float:
        """Of the same errors around this row of an otherwise equal picture."""
        this = Batch(given.image, given.quality, given.levels, torch.tensor(text), 0.5)
        decoded = given.image.clone()
        decoded[:, :, row : row + 6, 42:58] += 0.05 * torch.tensor([1.0, -1.0]).repeat(8)
        return float(objective(coded(decoded), this)["loss"] - objective(coded(given.image), this)["loss"])

    assert cost(46, rate_contrast, (True, True)) > 3 * cost(100, rate_contrast, (True, True))
    for row in (46, 100):
        plain = cost(row, rate_distortion, (False, False))
        assert cost(row, rate_contrast, (False, False)) == pytest.approx(plain, rel=1e-3)
    weight = contrast_weight(given.image)
    assert weight[0, 0, 50, 50] == pytest.approx(0.4 + 1.2 * 0.8)
    assert weight[0, 0, 100, 50] == pytest.approx(0.4)


def test_letters_in_another_colour_count_as_much_as_in_another_luma():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32).clone()
    red[:, :, 12:20, 12:20] = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    weight = contrast_weight(red)
    assert weight[0, 0, 12, 12] == pytest.approx(1.6)
    assert weight[0, 0, 2, 2] == pytest.approx(0.4)


def test_the_setting_for_pages_weighs_by_contrast(folder):
    given = batch(text=(True, True))
    given.image[:, :, 64:] = 0.5
    objective = MultiLevel(load_teacher(str(folder)), None, Weights(1, {}, 1, 1, 0, contrast=True))
    decoded = coded(given.image * 0.97)
    assert float(objective(decoded, given)["loss"]) == pytest.approx(
        float(rate_contrast(decoded, given)["loss"])
    )
