import numpy as np
import pytest

from cotam_lab.guides.lettering import lettered


@pytest.mark.parametrize("size", [(256, 256), (40, 90), (8, 8)])
def test_lettering_covers_part_of_a_picture_and_keeps_its_size(size):
    plain = np.full((*size, 3), 120, np.uint8)
    pictures = [lettered(np.random.default_rng(seed), plain) for seed in range(8)]
    assert all(p.shape == plain.shape and p.dtype == np.uint8 for p in pictures)
    assert (plain == 120).all()
    covered = [(p != plain).any(2).mean() for p in pictures]
    assert max(covered) > 0.02
    assert min(covered) < 0.9


def test_the_same_seed_letters_the_same():
    plain = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    first, again = (lettered(np.random.default_rng(5), plain) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, lettered(np.random.default_rng(6), plain))
