import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from cotam.errors import InputError
from cotam_lab.guides.cli import guide
from cotam_lab.guides.distil import (
    NO_TEXT,
    Targets,
    distil,
    distillation_loss,
    export_guide,
    load,
    load_targets,
    validate,
)
from cotam_lab.nets.guide_lite import HEADS, MUCH_TEXT, RELATIVE, SPREAD, Lite, LiteShape

TINY = LiteShape(widths=(8, 16, 16), blocks=(1, 1, 1))


def tiny() -> Lite:
    torch.manual_seed(0)
    guide = Lite(TINY)
    guide.track(torch.rand(2, 3, 64, 64))
    return guide


def bright_is_important(count: int = 12) -> Targets:
    """Images of grey fields, 64 × 64, whose maps are the fields' brightness."""
    torch.manual_seed(3)
    fields = torch.rand(count, 1, 4, 4)
    images = (255 * fields).repeat_interleave(16, 2).repeat_interleave(16, 3).expand(-1, 3, -1, -1)
    maps = (3 * fields).expand(-1, len(HEADS), -1, -1)
    return Targets(images.to(torch.uint8), maps - maps.mean((2, 3), keepdim=True))


def test_distillation_learns_and_validation_sees_it():
    guide, groups = tiny(), [bright_is_important()]
    before = validate(guide, groups)
    losses = [float(loss.sum()) for _, loss in distil(guide, groups, 150, batch=8, rate=5e-3)]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    after = validate(guide, groups)
    assert min(after) > 0.9
    assert max(before) < 0.9


def test_the_same_seed_distils_the_same_guide():
    runs = []
    for _ in range(2):
        guide = tiny()
        list(distil(guide, [bright_is_important()], 3, seed=5))
        runs.append(guide.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_only_differences_within_an_image_count_but_for_text():
    maps = torch.randn(2, len(HEADS), 4, 4)
    loss = distillation_loss(maps + 1.5, maps)
    expected = torch.tensor([0.0] * (len(HEADS) - 1) + [2.0])  # on two grids, the Huber distance of 1.5 is 1
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)


@pytest.fixture
def targets(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        side = 64 if number % 2 else 32
        shape = side // 16, side // 16
        found = {name: rng.uniform(0.1, 3, shape).astype(np.float16) for name in HEADS[:-1]}
        found["text"] = np.full(shape, 0.5 * (number == 4), np.float16)
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{number:05}.npz", pixels=pixels, **found)
    return tmp_path


def test_the_command_makes_the_folder_of_its_file(targets):
    out = targets / "new" / "guide.safetensors"
    arguments = ["distil", str(targets), "-o", str(out), "--steps", "1", "--batch", "2"]
    CliRunner().invoke(guide, arguments, catch_exceptions=False)
    assert isinstance(load(out), Lite)


def test_targets_are_read_by_size_and_text_is_absolute(targets):
    training, held = load_targets(targets)
    assert sorted(group.images.shape for group in training) == [(9, 3, 32, 32), (9, 3, 64, 64)]
    assert [len(group.images) for group in held] == [1, 1]
    small = next(group for group in training if group.images.shape[2] == 32)
    text = small.maps[:, -1].mean((1, 2)).tolist()
    assert text == [NO_TEXT, -1.0] + [NO_TEXT] * 7
    assert small.maps[:, :-1].mean((2, 3)).abs().max() < 1e-5


def test_too_few_targets_are_refused(tmp_path):
    with pytest.raises(InputError, match="has 0 targets"):
        load_targets(tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("guide") / "guide.onnx"
    guide = tiny()
    export_guide(guide, path, side=640, exponent=0.2)
    return guide, path


def run(path, pixels: np.ndarray) -> list[np.ndarray]:
    """Importance, text and structure that the graph finds in pixels (1, H, W, 3)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["importance", "text", "structure"], {"pixels": pixels})


@torch.no_grad()
def expected(guide: Lite, pixels: np.ndarray) -> list[torch.Tensor]:
    """The same, by definition."""
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    maps, weight = guide.eval()(image).clamp(-8, 8), guide.mixture[RELATIVE]
    relative = maps[:, :RELATIVE].exp2()
    relative = relative / relative.mean((2, 3), keepdim=True)
    mixed = (relative * guide.mixture[None, :RELATIVE, None, None]).sum(1)
    # Squared, so that low confidence does not raise plain cells.
    sure = maps[:, RELATIVE:].clamp(max=0).exp2().square()
    sure = F.max_pool2d(sure, SPREAD, 1, SPREAD // 2)[:, 0]
    much = (sure.mean() / MUCH_TEXT).clamp(max=1)
    # Luma deviates within cells of 32 pixels, so blank paper and plain sky do not count.
    cells = image.mean(1).unflatten(2, (-1, 32)).unflatten(1, (-1, 32))
    deviation = cells.var((2, 4), correction=0).clamp(min=1e-8).sqrt()
    near = F.avg_pool2d(sure[:, None], 2)[:, 0]
    structure = torch.stack([(near * deviation).sum((1, 2)), deviation.sum((1, 2))], 1)
    return [torch.maximum(mixed, sure * weight), (sure * much * weight).clamp(min=1), structure]


@pytest.mark.parametrize("size", [(32, 32), (64, 160)])
def test_the_graph_computes_what_the_network_does(exported, size):
    guide, path = exported
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    found = run(path, pixels)
    assert found[0].dtype == np.float32
    assert found[0].shape == (1, size[0] // 16, size[1] // 16)
    for one, other in zip(found, expected(guide, pixels), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0.02)


def test_importance_is_positive_and_finite_whatever_the_maps(tmp_path):
    guide = tiny()
    guide.leave.weight.data *= 1e4
    export_guide(guide, tmp_path / "guide.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    for found in run(tmp_path / "guide.onnx", pixels)[:2]:
        assert found.min() > 0
        assert np.isfinite(found).all()


def test_blank_paper_has_no_structure(exported):
    paper = np.full((1, 64, 64, 3), 200, np.uint8)
    printed = paper.copy()
    printed[:, :32, :32:2] = 60
    assert run(exported[1], paper)[2].max() < 1e-3
    assert run(exported[1], printed)[2][0, 1] == pytest.approx(70 / 255, rel=0.01)


def test_the_file_says_what_the_contract_asks_for(exported):
    model = onnx.load(exported[1])
    assert {p.key: p.value for p in model.metadata_props} == {
        "cotam.guide": "1",
        "cotam.guide.kind": "conv",
        "cotam.guide.side": "640",
        "cotam.guide.multiple": "32",
        "cotam.guide.name": "lite",
        "cotam.guide.exponent": "0.2",
    }
    assert [node.name for node in model.graph.input] == ["pixels"]
    assert [node.name for node in model.graph.output] == ["importance", "text", "structure"]
