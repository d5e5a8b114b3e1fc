"""CIDEr-D agrees with COCO's program, and does what it was made for."""

from __future__ import annotations

import pytest

from cotam_lab.evaluate.cider import Cider

REFERENCES = {
    "dog": ["a dog runs on the grass", "a brown dog is running outside", "the dog plays in a field"],
    "plate": ["a plate of food on a table", "some food sits on a white plate"],
    "train": ["a train stands at the station", "people wait for a red train", "a train"],
}
CAPTIONS = {
    "dog": "a brown dog runs on the grass",
    "plate": "a dog on a table",
    "train": "a train a train a train a train",
}
# Of pycocoevalcap 1.2, whose scorer is COCO's. Its tokenizer, for Java, would change nothing in these texts.
GOLDEN = {"dog": 3.40685927268, "plate": 1.530010466412, "train": 0.48299257854}


@pytest.mark.parametrize(("picture", "value"), list(GOLDEN.items()))
def test_values_are_those_of_coco(picture: str, value: float) -> None:
    assert Cider(REFERENCES).score(picture, CAPTIONS[picture]) == pytest.approx(value, abs=1e-9)


def test_a_caption_that_is_the_only_reference_has_all_ten() -> None:
    references = {"one": ["two red boats on a lake"], "other": ["a cat sleeps under the old sofa"]}
    assert Cider(references).score("one", "Two red boats, on a lake.") == pytest.approx(10)


def test_nothing_in_common_and_nothing_said_are_worth_nothing() -> None:
    scorer = Cider(REFERENCES)
    assert scorer.score("dog", "many ships") == 0
    assert scorer.score("dog", "") == 0


def test_saying_it_again_gains_nothing() -> None:
    scorer = Cider(REFERENCES)
    once = scorer.score("plate", "a plate of food")
    assert scorer.score("plate", "a plate of food a plate of food a plate of food") < once


def test_what_is_said_of_every_picture_is_worth_nothing() -> None:
    references = {"one": ["it is a red boat"], "other": ["it is a black cat"]}
    scorer = Cider(references)
    assert scorer.score("one", "it is a") == 0
    assert scorer.score("one", "it is a red boat") > 0
