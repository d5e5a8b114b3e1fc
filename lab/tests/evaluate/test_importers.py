"""Benchmarks as their authors publish them: tiny files in each layout, pictures where they belong."""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cotam.errors import InputError, MissingExtraError
from cotam_lab.evaluate.importers import Imported, import_questions
from cotam_lab.evaluate.questions import Question, as_line, read_questions


def photo(path: Path, colour: str = "teal") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    return path


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, *lines: Any, whole: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole) if whole is not None else "\n".join(map(json.dumps, lines)), "utf-8")
    return path


def imported(
    name: str, source: Path, tmp_path: Path, images: Path | None = None
) -> tuple[Imported, list[Question]]:
    """What was found, and the same after it was written and read again."""
    out = tmp_path / "out" / "questions.jsonl"
    out.parent.mkdir(exist_ok=True)
    found = import_questions(name, source, images, out)
    out.write_text("\n".join(map(as_line, found.questions)), "utf-8")
    again = read_questions(out)
    assert again == found.questions
    return found, again


def test_textvqa(tmp_path: Path) -> None:
    image = photo(tmp_path / "train_images" / "003a8ae2ef43b901.jpg")
    row = {
        "question": "what is the brand of this camera?",
        "image_id": "003a8ae2ef43b901",
        "image_classes": ["Cassette deck", "Printer"],
        "flickr_original_url": "https://example.invalid/a.jpg",
        "image_width": 1024,
        "image_height": 664,
        "answers": ["nous les gosses", "dakota", *["dakota digital"] * 8],
        "question_tokens": ["what", "is"],
        "question_id": 34602,
        "set_name": "val",
    }
    data = {"dataset_type": "val", "dataset_name": "textvqa", "dataset_version": "0.5.1"}
    unanswered = {key: value for key, value in row.items() if key != "answers"} | {"question_id": 1}
    source = write(tmp_path / "TextVQA_0.5.1_val.json", whole=data | {"data": [row, unanswered]})
    found, (one,) = imported("textvqa", source, tmp_path)
    assert (one.id, one.metric, len(one.answers)) == ("34602", "vqa", 10)
    assert one.paths()[0].samefile(image)
    assert list(found.left_out.values()) == [1]


def test_pope(tmp_path: Path) -> None:
    name = "COCO_val2014_000000310196.jpg"
    photo(tmp_path / "coco" / name)
    for kind in ("random", "popular"):
        write(
            tmp_path / "pope" / f"coco_pope_{kind}.json",
            {"question_id": 1, "image": name, "text": "Is there a snowboard in the image?", "label": "yes"},
            {"question_id": 2, "image": name, "text": "Is there a car in the image?", "label": "no"},
        )
    _, several = imported("pope", tmp_path / "pope", tmp_path, tmp_path / "coco")
    assert [(one.id, one.group, one.answers[0]) for one in several] == [
        ("coco_pope_popular/1", "popular", "yes"),
        ("coco_pope_popular/2", "popular", "no"),
        ("coco_pope_random/1", "random", "yes"),
        ("coco_pope_random/2", "random", "no"),
    ]
    _, one_file = imported("pope", tmp_path / "pope" / "coco_pope_random.json", tmp_path, tmp_path / "coco")
    assert len(one_file) == 2
    assert one_file[0].paths()[0].exists()


def test_mme(tmp_path: Path) -> None:
    root = tmp_path / "MME_Benchmark_release_version"
    photo(root / "color" / "000000012120.jpg")
    (root / "color" / "000000012120.txt").write_text(
        "Is there a red coat in the image? Please answer yes or no.\tYes\n"
        "Is there a yellow coat in the image? Please answer yes or no.\tNo\n"
    )
    photo(root / "landmark" / "images" / "a1b2.jpg")
    texts = root / "landmark" / "questions_answers_YN"
    texts.mkdir()
    (texts / "a1b2.txt").write_text("Is this the tower? Please answer yes or no.\tNo\n")
    (texts / "gone.txt").write_text("Is this here? Please answer yes or no.\tNo\n")
    photo(root / "code_reasoning" / "0001.png")
    (root / "code_reasoning" / "0001.txt").write_text("Is it 3? Please answer yes or no.\tYes\n")
    found, asked = imported("mme", root, tmp_path)
    assert [(one.group, one.answers[0]) for one in asked] == [
        ("cognition/code_reasoning", "yes"),
        ("perception/color", "yes"),
        ("perception/color", "no"),
        ("perception/landmark", "no"),
    ]
    assert all(one.paths()[0].exists() and one.instruction == "" for one in asked)
    assert asked[1].question == "Is there a red coat in the image? Please answer yes or no."
    assert found.left_out == {"without a picture": 1}


def seed_row(**values: Any) -> dict[str, Any]:
    choices = {"choice_a": "One", "choice_b": "Two", "choice_c": "Three", "choice_d": "Four"}
    return {"answer": "A", **choices, "question": "How many towels are in the image?"} | values


def test_seed_bench(tmp_path: Path) -> None:
    photo(tmp_path / "SEED-Bench-image" / "1454426_2591111986.jpg").rename(
        tmp_path / "SEED-Bench-image" / "1454426_2591111986"  # the files have no suffix
    )
    rows = [
        seed_row(
            data_id="1454426_2591111986", data_type="image", question_id="101669", question_type_id=5
        ),
        seed_row(
            data_id="P03/P03_24.MP4", data_type="video", question_id="v1962", question_type_id=11,
            segment=[648.0, 658.0],
        ),
        seed_row(
            data_id="P06/cam01/P06_cereals.avi", data_type="video", question_id="v4397", question_type_id=12,
            segment=[18, 166],
        ),
    ]  # fmt: skip
    types = {"Instances Counting": 5, "Action Prediction": 11, "Procedure Understanding": 12}
    source = write(tmp_path / "SEED-Bench.json", whole={"questions": rows, "question_type": types})
    _, (first, second, third) = imported("seed", source, tmp_path)
    assert (first.group, first.choices, first.answers) == (
        "Instances Counting",
        ("One", "Two", "Three", "Four"),
        ("A",),
    )
    assert first.paths()[0].exists()
    assert (second.segment, second.images) == ((648.0, 658.0), ())
    assert third.segment == pytest.approx((18 / 15, 166 / 15))


def test_seed_bench_2_without_what_asks_for_pictures(tmp_path: Path) -> None:
    files = ["task17/SD_1.png", "task17/SD_2.png"]
    several = {
        "data_id": files,
        "data_type": "Multiple Images",
        "question_id": "17_0",
        "question_type_id": 17,
    }
    made = {"data_id": files, "data_type": "Image Generation", "question_id": "25_0", "question_type_id": 25}
    source = write(tmp_path / "seed2.json", whole={"questions": [seed_row(**several), seed_row(**made)]})
    found, (one,) = imported("seed", source, tmp_path, tmp_path)
    assert len(one.images) == 2
    assert sum(found.left_out.values()) == 1


def test_mmbench(tmp_path: Path) -> None:
    source = tmp_path / "mmbench_dev_en_20231003.tsv"
    columns = [
        "index",
        "question",
        "hint",
        "A",
        "B",
        "C",
        "D",
        "answer",
        "category",
        "image",
        "l2-category",
        "split",
    ]
    with source.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(columns)
        coded = base64.b64encode(png("red")).decode()
        table.writerow([241, "Which one?", "A \"hint\"\nof two lines", "x", "y", "z", "", "C",
                        "object_localization", coded, "finegrained_perception", "dev"])  # fmt: skip
        table.writerow(
            [1000241, "Which one?", "", "z", "x", "y", "", "A", "object_localization", 241, "", "dev"]
        )
        table.writerow([7, "Which one?", "", "z", "x", "", "", "", "object_localization", coded, "", "test"])
    found, (first, turned) = imported("mmbench", source, tmp_path)
    assert first.question == 'A "hint"\nof two lines\nWhich one?'
    assert (first.choices, first.answers, first.group) == (("x", "y", "z"), ("C",), "object_localization")
    assert first.paths()[0].read_bytes() == png("red")
    assert turned.images == first.images
    assert sum(found.left_out.values()) == 1


def test_chartqa(tmp_path: Path) -> None:
    split = tmp_path / "ChartQA Dataset" / "test"
    photo(split / "png" / "41699051005347.png")
    row = {"imgname": "41699051005347.png", "query": "How many food items are shown?", "label": "14"}
    write(split / "test_human.json", whole=[row])
    write(split / "test_augmented.json", whole=[row, row])
    _, asked = imported("chartqa", split, tmp_path)
    assert [one.group for one in asked] == ["human", "augmented", "augmented"]
    assert all(
        one.metric == "relaxed" and one.answers == ("14",) and one.paths()[0].exists() for one in asked
    )
    assert len(imported("chartqa", split / "test_human.json", tmp_path)[1]) == 1


VIDEO_ROW = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Humanity & History",
    "url": "https://example.invalid/watch?v=fFjv93ACGo8",
    "videoID": "fFjv93ACGo8",
    "question_id": "001-1",
    "task_type": "Counting Problem",
    "question": "When demonstrating the plan, what is shown?",
    "options": ["A. Apples.", "B. Candles.", "C. Berries.", "D. The three kinds are of the same number."],
    "answer": "C",
}


def test_video_mme_as_json_lines(tmp_path: Path) -> None:
    _, (one,) = imported("video-mme", write(tmp_path / "test.jsonl", VIDEO_ROW), tmp_path)
    assert one.video == "../data/fFjv93ACGo8.mp4"
    assert one.choices[2] == "Berries."
    assert (one.answers, one.group, one.id) == (("C",), "short", "001-1")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "test-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([VIDEO_ROW]), file)
    lines = write(tmp_path / "test.jsonl", VIDEO_ROW)
    assert imported("video-mme", file, tmp_path)[1] == imported("video-mme", lines, tmp_path)[1]

    row = {"index": 3, "question": "Which?", "hint": None, "A": "x", "B": "y", "C": None, "answer": "B",
           "category": "ocr", "image": {"bytes": png("blue"), "path": None}}  # fmt: skip
    other = tmp_path / "mmbench.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([row]), other)
    _, (one,) = imported("mmbench", other, tmp_path)
    assert (one.choices, one.question) == (("x", "y"), "Which?")
    assert one.paths()[0].read_bytes() == png("blue")


def test_parquet_without_pyarrow_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"pip install 'cotam\[eval\]'"):
        import_questions("video-mme", tmp_path / "x.parquet", None, tmp_path / "q.jsonl")


def test_a_pack_is_asked_about_by_what_its_labels_have(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    labels: list[dict[str, Any]] = [
        {"image": "images/a.png", "source": "pew", "qa": [
            {"question": "How many?", "answer": "3", "answer_type": "number", "note": "A number."},
            {"question": "Which?", "answer": "left", "answer_type": "text"}]},
        {"image": "images/b.png", "lines": [{"text": "TOTAL 5.00"}],
         "fields": {"company": "ACME", "date": "", "address": "x", "total": "5.00"}},
        {"image": "images/c.png", "captions": ["a dog", "one dog"], "objects": []},
        {"image": "images/d.png",
         "words": [{"text": "", "legible": False}, {"text": "EXIT", "legible": True}]},
        {"image": "images/e.png", "qa": []},
    ]  # fmt: skip
    write(pack / "labels.jsonl", *labels)
    found, asked = imported("pack", pack, tmp_path)
    assert [(one.id, one.metric, one.answers, one.group) for one in asked] == [
        ("images/a.png/0", "relaxed", ("3",), "pack/pew"),
        ("images/a.png/1", "relaxed", ("left",), "pack/pew"),
        ("images/b.png/company", "anls", ("ACME",), "pack"),
        ("images/b.png/total", "anls", ("5.00",), "pack"),
        ("images/b.png/words", "words", ("TOTAL 5.00",), "pack"),
        ("images/c.png/caption", "cider", ("a dog", "one dog"), "pack"),
        ("images/d.png/words", "words", ("EXIT",), "pack"),
    ]
    assert asked[0].question == "How many?\nA number."
    assert sum(found.left_out.values()) == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("textvqa", "{", "questions.json"),
        ("textvqa", "[]", "is no textvqa"),
        ("textvqa", '{"data": []}', "no question that can be asked"),
        ("seed", '{"questions": [{"data_type": "image"}]}', "is no seed: KeyError"),
        ("pope", '{"question_id": 1}', "is no pope: KeyError 'image'"),
        ("chartqa", '[{"imgname": "a.png"}]', "is no chartqa"),
        ("mmbench", "{}", "the suffix is none of"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    source = tmp_path / "questions.json"
    source.write_text(text)
    with pytest.raises(InputError, match=said):
        import_questions(name, source, None, tmp_path / "q.jsonl")


def test_another_folder_is_refused_where_pictures_lie_within(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mme has its pictures within"):
        import_questions("mme", tmp_path, tmp_path, tmp_path / "q.jsonl")


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    source = tmp_path / "x.tsv"
    source.write_text("index\tquestion\tA\tB\tanswer\timage\n5\tWhich?\tx\ty\tA\t%%%\n")
    with pytest.raises(InputError, match="the picture of 5 is not base64"):
        import_questions("mmbench", source, None, tmp_path / "q.jsonl")
