import json

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
from cotam_lab.bench.guides import QUALITIES, Maps, Spec, held_out, main, table
from cotam_lab.bench.levels import Subject, measure
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
def maps(tmp_path):
    return Maps(exported("base"), tmp_path, teacher())


def subjects(maps):
    images = [("a/1", picture(112, 126)), ("b/2", picture(84, 112, seed=1))]
    return [maps.subject(name, pixels) for name, pixels in images]


def test_a_stopped_comparison_goes_on_and_becomes_a_table(maps, tmp_path):
    file, specs = tmp_path / "rows.jsonl", [Spec.parse(s) for s in ("none", "variance@0.25", "whole@0.25")]
    variants = [maps.variant(spec) for spec in specs]
    measure(maps.codec, subjects(maps)[:1], variants[:2], QUALITIES, file)
    first = file.read_text()
    file.write_text(first + '{"codec": "no')  # killed in the middle of a row
    measure(maps.codec, subjects(maps), variants, QUALITIES, file)
    assert file.read_text().startswith(first)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({(row["codec"], row["image"], row["quality"]) for row in rows}) == len(rows) == 24
    plain = {row["quality"]: row for row in rows if row["codec"] == "none" and row["image"] == "a/1"}
    assert [plain[q]["bytes"] for q in QUALITIES] == sorted(plain[q]["bytes"] for q in QUALITIES)
    coded = maps.codec.encode(subjects(maps)[0].pixels, QUALITIES[0])
    assert plain[QUALITIES[0]]["bytes"] == len(coded.data)
    found = table(rows, specs, ["features"])
    assert "variance @ 0.25" in found
    assert "none" not in found
    assert found.count("| 2 |") == 2


def test_maps_are_kept_and_an_importance_is_their_sum(maps, tmp_path):
    subject = subjects(maps)[0]
    both = maps.importance(Spec.parse("attended+variance@1"), subject)
    parts = [maps.importance(Spec.parse(f"{name}@1"), subject) for name in ("attended", "variance")]
    assert both.shape == (4, 4)
    assert np.allclose(both, sum(parts))
    assert parts[0].mean() == pytest.approx(1)
    assert len(list(tmp_path.rglob("a_1.npz"))) == 1


def test_a_guide_file_is_run_on_the_whole_image(maps, tmp_path):
    (tmp_path / "contrast.onnx").write_bytes(contrast_graph())
    pixels = np.full((128, 128, 3), 90, np.uint8)
    pixels[:, 32:64] = 254
    spec = Spec.parse(f"{tmp_path}/contrast.onnx@0.25")
    levels = maps.variant(spec).allocator(Subject("a/1", pixels, lambda decoded: {})).levels
    assert levels.shape == (4, 4)
    assert (levels[:, 1].min() > levels[:, [0, 2, 3]].max(1)).all()


def test_held_out_images_are_no_training_images(tmp_path):
    for pack in ("kodak", "highres", "train/photos", "train/captions"):
        (tmp_path / pack / "images").mkdir(parents=True)
        for number in range(11):
            image = Image.fromarray(picture(15, 20, seed=number))
            image.resize((400, 300)).save(tmp_path / pack / "images" / f"{number:02}.png")
    found = list(held_out(tmp_path, None))
    names = [name for name, _ in found]
    assert [n for n in names if n.startswith("train/photos")] == ["train/photos/00", "train/photos/10"]
    assert len(names) == 26
    assert found[0][1].shape == (280, 378, 3)
    assert len(list(held_out(tmp_path, 5))) == 5


def test_a_wrong_map_is_one_line(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path), "-o", str(tmp_path / "out"), "--map", "nothing@1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: 'nothing@1': maps are tokens")
    assert len(result.output.splitlines()) == 1
