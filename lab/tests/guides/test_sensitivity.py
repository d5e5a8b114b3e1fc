import numpy as np
import pytest
import torch
from tiny import teacher as tiny_teacher
from torch import nn

from cotam.codec.shared import codec
from cotam_lab.guides.sensitivity import (
    MAPS,
    SENSITIVITIES,
    Teachers,
    cache,
    cells_of,
    local_variance,
    maps,
    squared_gradient,
    text_map,
)
from cotam_lab.nets.teachers import Teacher

CACHED = {*MAPS, "text"} - {"tokens"}
PROBES = dict.fromkeys(SENSITIVITIES, 1)


@pytest.fixture
def teacher() -> Teacher:
    return tiny_teacher()


def test_random_vectors_measure_the_squared_derivative():
    torch.manual_seed(0)
    pixels = torch.rand(1, 2, 3, 4, requires_grad=True)
    matrix, root = torch.randn(24, 5), torch.rand(5)
    output = pixels.flatten() @ matrix
    found = squared_gradient(output, root, pixels, 4000, torch.Generator().manual_seed(1))
    exact = (matrix * root).square().sum(1).reshape(2, 3, 4).sum(0)
    torch.testing.assert_close(found[0, 0], exact, rtol=0.15, atol=0)


def test_cells_at_the_edge_are_means_of_what_is_there():
    values = torch.arange(5.0).expand(3, 5)[None, None]
    assert cells_of(values, 2).tolist() == [[0.5, 2.5, 4.0]] * 2


def test_variance_is_that_of_luma():
    picture = torch.zeros(1, 3, 16, 32)
    picture[..., 16::2] = 1
    flat, striped = local_variance(picture, 16)[0].tolist()
    assert flat == pytest.approx(1e-5)
    assert striped == pytest.approx(0.25, rel=1e-3)


def test_maps_cover_the_picture_are_positive_and_of_mean_one(teacher):
    torch.manual_seed(1)
    picture = torch.rand(1, 3, 100, 130)
    found = maps(teacher, picture, picture, probes=PROBES)
    assert tuple(found) == MAPS
    for name, values in found.items():
        assert values.shape == (7, 9), name
        assert values.min() > 0
        assert values.mean() == pytest.approx(1, abs=0.01)


def test_what_an_encoder_does_not_look_at_costs_it_nothing(teacher):
    class Left(nn.Module):
        """The encoder, with the right half of its pictures painted grey."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model, self.config = model, model.config

        def forward(self, picture, **options):
            half = picture.shape[3] // 2
            return self.model(torch.cat([picture[..., :half], 0 * picture[..., half:]], 3), **options)

    teacher.model = Left(teacher.model)
    picture = torch.rand(1, 3, 112, 112)
    found = maps(teacher, picture, picture, probes=PROBES, cell=28)
    for name in SENSITIVITIES:
        assert found[name][:, 2:].max() < 1e-3 < found[name][:, :2].min(), name


class Striped(nn.Module):
    """A detector that finds text where a picture is white, the middle of its scores where it is grey."""

    def forward(self, picture):
        scores = nn.functional.avg_pool2d(picture[:, :1], 2)
        return torch.cat([0 * scores, 0.9 * scores], 1)


def test_text_is_where_a_detector_is_sure():
    picture = torch.zeros(1, 3, 40, 80)
    picture[..., 16:32] = 1
    picture[..., 48:64] = 0.5  # a score of 0.45, halfway between no and text
    found = text_map(Striped(), picture)
    assert found.shape == (3, 5)
    assert found[1].tolist() == pytest.approx([0, 1, 0, 0.5, 0], abs=0.02)


def test_one_letter_makes_its_cell_text():
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., 20:24, 36:40] = 1
    found = text_map(Striped(), picture)
    assert found[1, 2] == 1
    assert found.sum() == 1


class Source:
    def batch(self, step, count):
        rng = np.random.default_rng(step)
        return rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8), np.array([step % 2 == 1])


def test_the_cache_goes_on_where_it_was_stopped(teacher, tmp_path):
    teachers = Teachers(codec(), teacher, Striped())
    assert list(cache([Source()], 2, tmp_path, teachers)) == [0, 1]
    kept = (tmp_path / "00001.npz").read_bytes()
    (tmp_path / "00000.npz").unlink()
    assert list(cache([Source()], 3, tmp_path, teachers)) == [0, 2]
    assert (tmp_path / "00001.npz").read_bytes() == kept
    with np.load(tmp_path / "00001.npz") as text:
        assert set(text.files) == {"pixels", *CACHED}
        assert np.array_equal(text["pixels"], Source().batch(1, 1)[0][0])
        assert text["whole"].shape == text["text"].shape == (4, 4)


def test_some_photographs_get_lettering_and_text_gets_none(teacher, tmp_path):
    list(cache([Source()], 16, tmp_path, Teachers(codec(), teacher, Striped())))
    changed = []
    for number in range(16):
        with np.load(tmp_path / f"{number:05}.npz") as file:
            changed.append(not np.array_equal(file["pixels"], Source().batch(number, 1)[0][0]))
    assert not any(changed[1::2])
    assert 0 < sum(changed[::2]) < 8
