"""Drawn questions: the same from a seed, their answers true of the picture, training and measuring apart."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cotam.errors import InputError
from cotam_lab.evaluate.questions import read_questions
from cotam_lab.reference import quiz, quiz_data, quiz_sets
from cotam_lab.reference.quiz import COLOURS, SIDE, TASKS, Item, Material, Photo, draw


@pytest.mark.parametrize("task", TASKS)
def test_items_follow_from_their_seed(task: str, material: Material) -> None:
    items = [draw(task, (0, number), material) for number in range(4)]
    for number, item in enumerate(items):
        again = draw(task, (0, number), material)
        assert np.array_equal(item.pixels, again.pixels)
        assert (item.question, item.answer, item.choices) == (again.question, again.answer, again.choices)
        assert item.pixels.shape == (SIDE, SIDE, 3)
        assert item.pixels.dtype == np.uint8
        assert item.choices.count(item.answer) == 1
        assert item.task == task
    assert len({item.pixels.tobytes() for item in items}) == 4


def plain() -> Material:
    """Grey photos, on which things stand out."""
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400), (128, 128, 128)).save(buffer, "PNG")
    photo = Photo(buffer.getvalue(), "grey", "dog", True, ("grey",))
    return Material(
        [photo, *(Photo(photo.data, f"n{n}", "cat", False, ("grey",)) for n in range(3))], list("abcd")
    )


def places(item: Item, colour: str) -> list[tuple[float, float, int]]:
    """Middle (x, y) and pixels of each thing of a colour, found by its hue."""
    hsv = np.asarray(Image.fromarray(item.pixels).convert("HSV")).astype(float) / 255
    hue = COLOURS[colour][0]
    near = np.minimum(abs(hsv[..., 0] - hue), 1 - abs(hsv[..., 0] - hue)) < 0.03
    marked, count = ndimage.label(near & (hsv[..., 1] > 0.5) & (hsv[..., 2] > 0.3))
    found = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(marked == number)
        if len(rows) > 60:
            found.append((columns.mean(), rows.mean(), len(rows)))
    return found


def drawn(task: str, material: Material, count: int, *colours: int) -> list[tuple[Item, list[str]]]:
    """Items whose question names colours with a hue of their own, and these colours in its order."""
    sure, found = {"red", "green", "blue"}, []
    for number in range(800):
        item = draw(task, (1, number), material)
        said = [word.strip("?,") for word in item.question.split() if word.strip("?,") in COLOURS]
        if said and set(said) <= sure and (not colours or len(said) in colours):
            found.append((item, said))
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} items")


def test_answers_are_true_of_the_pictures() -> None:
    material = plain()
    for item, (colour, *_) in drawn("counting", material, 4):
        assert len(places(item, colour)) == int(item.answer), item.question
    for item, (one, other) in drawn("position", material, 4, 2):
        (here,), (there,) = places(item, one), places(item, other)
        axis, words = (0, ("left", "right")) if item.choices[0] == "left" else (1, ("above", "below"))
        assert item.answer == words[int(here[axis] > there[axis])], item.question
    for item, (one, other) in drawn("larger", material, 5, 2):
        sizes = {colour: places(item, colour)[0][2] for colour in (one, other)}
        assert item.answer.split()[0] == max(sizes, key=lambda colour: sizes[colour])
    for item, (one, other) in drawn("more", material, 5, 2):
        assert (item.answer == "yes") == (len(places(item, one)) > len(places(item, other)))


def test_text_has_its_size_and_says_the_answer() -> None:
    material = plain()
    for task, low, high in (("large text", *quiz.LARGE), ("small text", *quiz.SMALL)):
        items = [draw(task, (2, number), material) for number in range(16)]
        unboxed = [item for item in items if "box" not in item.question]
        heights = []
        for item in unboxed:
            odd = np.abs(item.pixels.astype(int) - np.median(item.pixels, (0, 1))).sum(2) > 120
            rows = np.nonzero(odd.any(1))[0]
            heights.append(rows[-1] - rows[0] + 1)
        assert heights
        assert 0.4 * low < min(heights)
        assert max(heights) < 1.4 * high
    answers = {draw("text", (3, number), material).answer for number in range(60)}
    assert {"a", "b", "c", "d"} < answers
    assert any(answer.isdigit() and 2 <= len(answer) <= 4 for answer in answers)


def test_the_answer_is_one_choice_where_all_words_are_of_other_lengths() -> None:
    material = Material(plain().photos, ["a", "bbbb", "ccccccc", "dddddddddd"])
    items = [draw("text", (4, number), material) for number in range(12)]
    assert all(item.choices.count(item.answer) == 1 for item in items)


def test_training_and_measuring_share_nothing(data: Path) -> None:
    (photos, words), (others, unseen) = quiz_data.training(data), quiz_data.held_out(data)
    assert len(photos) == 18 + 9
    assert len(others) == 2 + 1
    assert not {photo.data for photo in photos} & {photo.data for photo in others}
    assert words
    assert unseen
    assert not set(words) & set(unseen)
    assert "anchor" in unseen  # of the study


def test_photos_have_the_labels_of_their_class(material: Material) -> None:
    by_name = {photo.name: photo for photo in material.photos}
    assert (by_name["dog 153"].kind, by_name["dog 153"].animal) == ("dog", True)
    assert (by_name["thing 901"].kind, by_name["thing 901"].animal) == ("", False)


def test_what_is_missing_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no readable labels\.jsonl"):
        quiz_data.training(tmp_path)
    with pytest.raises(InputError, match="at least four words"):
        Material(*quiz_data.held_out(data))


def test_held_out_questions_are_questions_of_the_harness(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few photos are held out here that those of training stand in.
    monkeypatch.setattr(quiz_sets, "held_out", quiz_data.training)
    found = quiz_sets.write_sets(data, tmp_path / "one", count=4)
    for name, questions in found.items():
        assert read_questions(tmp_path / "one" / f"{name}.jsonl") == questions
        assert all(path.exists() for question in questions for path in question.paths())
    groups = {question.group for question in found["synthetic"]}
    assert {group.split(":")[0] for group in groups} == {"low", "coarse", "both"}
    table = (tmp_path / "one/README.md").read_text()
    assert f"{sum(map(len, found.values()))} questions." in table
    assert "| real | coarse: class | choice | 18 | 18 | 25 % |" in table
    quiz_sets.write_sets(data, tmp_path / "two", count=4)
    for file in sorted((tmp_path / "one").rglob("*.*")):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
