"""`cotam.pasted`: areas as stills, pasted over an earlier image."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import page, picture

import cotam
from cotam.errors import FormatError
from cotam.format.changes import Changes, Copy, Rectangle
from cotam.pasted import paste

BASE = picture(80, 120)
STILL = cotam.encode(page(32, 48))


def test_rectangles_are_pasted_onto_the_base() -> None:
    pixels = paste(BASE, Changes(rectangles=[Rectangle(16, 32, STILL), Rectangle(72, 0, STILL)]), (80, 120))
    expected = BASE.copy()
    expected[32:64, 16:64] = expected[:32, 72:120] = cotam.decode(STILL)
    np.testing.assert_array_equal(pixels, expected)


def test_a_base_of_another_size_is_cut_and_continued() -> None:
    np.testing.assert_array_equal(paste(BASE, Changes(), (60, 100)), BASE[:60, :100])
    right = Rectangle(120, 0, cotam.encode(page(64, 16)))
    np.testing.assert_array_equal(paste(BASE, Changes(rectangles=[right]), (64, 136))[:, :120], BASE[:64])
    with pytest.raises(FormatError, match=r"of 120×80 pixels leave 1024 of 136×64 open"):
        paste(BASE, Changes(), (64, 136))


def test_copies_read_the_earlier_image() -> None:
    """All of them: the second does not see what the first wrote."""
    copies = [Copy(0, 0, 40, 30, 8, 50), Copy(60, 20, 40, 30, 0, 0)]
    expected = BASE.copy()
    expected[:30, :40], expected[20:50, 60:100] = BASE[50:80, 8:48], BASE[:30, :40]
    np.testing.assert_array_equal(paste(BASE, Changes(copies), (80, 120)), expected)
    with pytest.raises(
        FormatError, match=r"a copy of 40×30 pixels at \(0, 51\) reads beyond the 120×80 pixels"
    ):
        paste(BASE, Changes([Copy(0, 0, 40, 30, 0, 51)]), (80, 120))
