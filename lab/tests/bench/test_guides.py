import json

import numpy as np
import onnx
import pytest
from PIL import Image
from synthetic import picture

pytest.importorskip("torch")
pytest.importorskip("transformers")

from click.testing import CliRunner
from tiny import reader, teacher

from cotam.errors import InputError
from cotam_lab.bench.guides import QUALITIES, Bench, Spec, Subject, held_out, main, measure, table


@pytest.mark.parametrize(
    ("text", "names", "strength", "limit"),
    [
        ("none", (), None, 7),
        ("whole@0.25", ("whole",), 0.25, 7),
        ("tokens+reader@1/3", ("tokens", "reader"), 1.0, 3),
        ("early@ternary", ("early",), None, 7),
        ("a+b/guide@2.onnx@0.5", ("a+b/guide@2.onnx",), 0.5, 7),
    ],
)
def test_a_map_is_named_with_its_rule(text, names, strength, limit):
    assert Spec.parse(text) == Spec(text, names, strength, limit)


@pytest.mark.parametrize("text", ["whole", "wholly@0.25", "whole@much", "whole@0.25/x", "+whole@1"])
def test_a_wrong_name_is_refused(text):
    with pytest.raises(InputError, match=r"is not NAME@STRENGTH|maps are tokens, attended"):
        Spec.parse(text)


def test_levels_are_quarter_octaves_of_the_power_of_importance():
    importance = np.array([[1.0, 2.0], [4.0, 2.0]])
    assert Spec.parse("whole@1").levels(importance).tolist() == [[-4, 0], [4, 0]]
    assert Spec.parse("whole@0.5").levels(importance).tolist() == [[-2, 0], [2, 0]]
    assert Spec.parse("whole@2/5").levels(importance).tolist() == [[-5, 0], [5, 0]]
    assert Spec.parse("whole@1").levels(17 * importance).tolist() == [[-4, 0], [4, 0]]


def test_the_papers_rule_has_three_levels_on_eight_fields():
    importance = np.ones((16, 24))
    importance[:4, :3] = 5
    levels = Spec.parse("early@ternary").levels(importance)
    assert (levels[:4, :3] == 2).all()
    assert (levels[4:] == 0).all()
    assert (levels[:, 3:] == 0).all()


@pytest.fixture
def bench(tmp_path):
    found = Bench("base", tmp_path)
    found.teacher, found.reader = teacher(), reader()
    return found


SUBJECTS = [Subject("a/1", False, picture(112, 126)), Subject("b/2", True, picture(84, 112, seed=1))]


def test_a_stopped_comparison_goes_on_and_becomes_a_table(bench, tmp_path):
    file, specs = tmp_path / "rows.jsonl", [Spec.parse(s) for s in ("none", "variance@0.25", "reader@0.25")]
    measure(bench, SUBJECTS[:1], specs[:2], file)
    first = file.read_text()
    file.write_text(first + '{"codec": "no')  # killed in the middle of a row
    measure(bench, SUBJECTS, specs, file)
    assert file.read_text().startswith(first)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({(row["codec"], row["image"], row["quality"]) for row in rows}) == len(rows) == 24
    assert all(("reader" in row) == (row["image"] == "b/2") for row in rows)
    plain = {row["quality"]: row for row in rows if row["codec"] == "none" and row["image"] == "a/1"}
    assert [plain[q]["bytes"] for q in QUALITIES] == sorted(plain[q]["bytes"] for q in QUALITIES)
    data = bench.codec.encode(SUBJECTS[0].pixels, QUALITIES[0])
    assert plain[QUALITIES[0]]["bytes"] == len(data)
    found = table(rows, specs, ["tokens"])
    assert "variance @ 0.25" in found
    assert "none" not in found
    assert found.count("| 2 |") == 2


def test_maps_are_kept_and_an_importance_is_their_sum(bench, tmp_path):
    both = bench.importance(Spec.parse("attended+variance@1"), SUBJECTS[0])
    parts = [bench.importance(Spec.parse(f"{name}@1"), SUBJECTS[0]) for name in ("attended", "variance")]
    assert both.shape == (4, 4)
    assert np.allclose(both, sum(parts))
    assert parts[0].mean() == pytest.approx(1)
    assert len(list(tmp_path.rglob("a_1.npz"))) == 1


def brightness(path):
    """A guide file: the mean of each 16×16 pixels, and 1."""
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=kinds.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("ReduceMean", ["cells", "colours"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "one"], ["importance"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "colours"),
        onnx.numpy_helper.from_array(np.float32(1), "one"),
    ]
    pixels = helper.make_tensor_value_info("pixels", kinds.UINT8, [1, None, None, 3])
    importance = helper.make_tensor_value_info("importance", kinds.FLOAT, [1, None, None])
    graph = helper.make_graph(nodes, "brightness", [pixels], [importance], constants)
    opset = helper.make_opsetid("", 20)
    path.write_bytes(helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


def test_a_guide_file_is_run_on_the_grid_of_levels(bench, tmp_path):
    brightness(tmp_path / "brightness.onnx")
    pixels = np.zeros((126, 128, 3), np.uint8)
    pixels[:, 32:64] = 254
    spec = Spec.parse(f"{tmp_path}/brightness.onnx@0.25")
    found = bench.importance(spec, Subject("a/1", False, pixels))
    assert found.shape == (4, 4)
    assert found.mean() == pytest.approx(1)
    assert found[:, 1].min() > 10 * found[:, [0, 2, 3]].max()
    assert (spec.levels(found) == [[-2, 6, -2, -2]] * 4).all()


def test_held_out_pictures_are_no_training_pictures(tmp_path):
    for pack in ("kodak", "highres", "train/photos", "train/captions"):
        (tmp_path / pack / "images").mkdir(parents=True)
        for number in range(11):
            image = Image.fromarray(picture(15, 20, seed=number))
            image.resize((400, 300)).save(tmp_path / pack / "images" / f"{number:02}.png")
    found = list(held_out(tmp_path, "photos", None))
    names = [subject.name for subject in found]
    assert [n for n in names if n.startswith("train/photos")] == ["train/photos/00", "train/photos/10"]
    assert len(names) == 26
    assert found[0].pixels.shape == (280, 378, 3)
    assert len(list(held_out(tmp_path, "photos", 5))) == 5


def test_a_wrong_map_is_one_line(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path), "-o", str(tmp_path / "out"), "--map", "nothing@1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: 'nothing@1': maps are tokens")
    assert len(result.output.splitlines()) == 1
