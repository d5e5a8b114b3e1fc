import numpy as np
import pytest
from guides import contrast_graph
from PIL import Image
from synthetic import picture

pytest.importorskip("torch")
pytest.importorskip("transformers")

from click.testing import CliRunner
from tiny import teacher

from cotam.errors import InputError
from cotam_lab.bench.guides import QUALITIES, Maps, Spec, held_out, main, table, whole_patches
from cotam_lab.bench.images import find_images, redrawn
from cotam_lab.bench.sweep import plan, sweep
from cotam_lab.metrics.base import Metric
from cotam_lab.train.checkpoints import exported


@pytest.mark.parametrize(
    ("text", "names", "strength"),
    [
        ("none", (), None),
        ("whole@0.25", ("whole",), 0.25),
        ("tokens+whole@1", ("tokens", "whole"), 1.0),
        ("early@ternary", ("early",), None),
        ("a+b/guide@2.onnx@0.5", ("a+b/guide@2.onnx",), 0.5),
    ],
)
def test_a_map_is_named_with_its_rule(text, names, strength):
    assert Spec.parse(text) == Spec(text, names, strength)


@pytest.mark.parametrize("text", ["whole", "wholly@0.25", "whole@much", "+whole@1"])
def test_a_wrong_name_is_refused(text):
    with pytest.raises(InputError, match=r"is not NAME@STRENGTH|maps are tokens, attended"):
        Spec.parse(text)


def test_levels_are_quarter_octaves_of_the_power_of_importance():
    importance = np.array([[1.0, 2.0], [4.0, 2.0]])
    assert Spec.parse("whole@1").levels(importance, (64, 64)).tolist() == [[-4, 0], [4, 0]]
    assert Spec.parse("whole@0.5").levels(importance, (64, 64)).tolist() == [[-2, 0], [2, 0]]
    assert Spec.parse("whole@1").levels(17 * importance, (64, 64)).tolist() == [[-4, 0], [4, 0]]


def test_the_papers_rule_has_three_levels_on_eight_fields():
    importance = np.ones((16, 24))
    importance[:4, :3] = 5
    levels = Spec.parse("early@ternary").levels(importance, (512, 768))
    assert (levels[:4, :3] == 2).all()
    assert (levels[4:] == 0).all()
    assert (levels[:, 3:] == 0).all()


@pytest.fixture
def maps():
    return Maps(exported("base"), teacher())


def test_maps_are_compared_in_a_table(maps, tmp_path):
    def score(original, decoded, texts):
        return {"features": -float(np.square(original.astype(float) - decoded).mean())}

    for number in range(2):
        Image.fromarray(picture(112, 126, seed=number)).save(tmp_path / f"{number}.png")
    specs = [Spec.parse(s) for s in ("none", "variance@0.25", "whole@0.25")]
    wanted = plan(find_images(tmp_path), [(maps.variant(spec), QUALITIES) for spec in specs])
    rows = sweep(tmp_path / "rows.jsonl", wanted, [Metric("features", ("features",), (), score)])
    assert len({(row["codec"], row["image"], row["quality"]) for row in rows}) == len(rows) == 24
    plain = {row["quality"]: row for row in rows if row["codec"] == "none" and row["image"] == "0.png"}
    assert [plain[q]["bytes"] for q in QUALITIES] == sorted(plain[q]["bytes"] for q in QUALITIES)
    assert plain[QUALITIES[0]]["bytes"] == len(maps.codec.encode(picture(112, 126), QUALITIES[0]).data)
    found = table(rows, specs, ["features"])
    assert "variance @ 0.25" in found
    assert "none" not in found
    assert found.count("| 2 |") == 2


def test_an_importance_is_the_sum_of_maps(maps):
    pixels = picture(112, 126)
    both = maps.importance(Spec.parse("attended+variance@1"), pixels)
    parts = [maps.importance(Spec.parse(f"{name}@1"), pixels) for name in ("attended", "variance")]
    assert both.shape == (4, 4)
    assert np.allclose(both, sum(parts))
    assert parts[0].mean() == pytest.approx(1)


def test_a_guide_file_is_run_on_the_whole_image(maps, tmp_path):
    (tmp_path / "contrast.onnx").write_bytes(contrast_graph())
    pixels = np.full((128, 128, 3), 90, np.uint8)
    pixels[:, 32:64] = 254
    spec = Spec.parse(f"{tmp_path}/contrast.onnx@0.25")
    levels = spec.levels(maps.importance(spec, pixels), (128, 128))
    assert levels.shape == (4, 4)
    assert (levels[:, 1].min() > levels[:, [0, 2, 3]].max(1)).all()


def test_held_out_images_are_no_training_images(tmp_path):
    for pack in ("kodak", "highres", "train/photos", "train/captions"):
        (tmp_path / pack / "images").mkdir(parents=True)
        for number in range(11):
            image = Image.fromarray(picture(15, 20, seed=number))
            image.resize((400, 300)).save(tmp_path / pack / "images" / f"{number:02}.png")
    found = held_out(tmp_path, None)
    names = [one.name for one in found]
    assert [n for n in names if n.startswith("train/photos")] == ["train/photos/00", "train/photos/10"]
    assert len(names) == 26
    assert len(held_out(tmp_path, 5)) == 5
    (drawn,) = redrawn(found[:1], tmp_path / "out", whole_patches)
    with Image.open(drawn.path) as image:
        assert image.size == (378, 280)


def test_a_wrong_map_is_one_line(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path), "-o", str(tmp_path / "out"), "--map", "nothing@1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: 'nothing@1': maps are tokens")
    assert len(result.output.splitlines()) == 1
