"""Answers brought to the form in which the VQA challenge compares them.

Goyal et al., "Making the V in VQA matter", 2017; rules and lists as in its evaluation. Knows text only.
"""

from __future__ import annotations

import re

__all__ = ["normalised"]

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(value) for value, word in enumerate(_TO_TEN)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")

# Words that people write without their apostrophes. What without them is another word (we'll, he'll, she'd)
# is not in the challenge's list either.
_WITH_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's i'd've isn't it'd it'd've it'll ma'am mightn't mightn't've might've
    mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't
    shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's
    something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've
    they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd
    where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't
    wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _without_one(word: str) -> list[str]:
    """The word without each one of its apostrophes."""
    places = [place for place, character in enumerate(word) if character == "'"]
    return [word[:place] + word[place + 1 :] for place in places]


_CONTRACTIONS = {short: word for word in _WITH_APOSTROPHES.split() for short in _without_one(word)}


def normalised(answer: str) -> str:
    """Lower case, without articles and most punctuation, numbers up to ten as digits, apostrophes put back.

    Two answers are the same if these are. The challenge's program leaves number words and articles of the
    right answers as they are, since its own have none; here both sides go the same way, as in TextVQA's.
    """
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    glued = text
    for mark in _MARKS:
        # A mark at a word's edge goes; one inside a word parts it, unless a number such as 1,000 is there.
        edge = f"{mark} " in text or f" {mark}" in text or _COMMA_IN_NUMBER.search(text)
        glued = glued.replace(mark, "" if edge else " ")
    words = (_NUMBERS.get(word, word) for word in _PERIOD.sub("", glued).lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
