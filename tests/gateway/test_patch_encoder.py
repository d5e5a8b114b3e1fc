"""`cotam.gateway.patch_encoder`: which images become patches, and onto what."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from synthetic import page, picture

import cotam
from cotam.format.changes import Changes
from cotam.gateway import patch_encoder
from cotam.gateway.patch_encoder import Patcher, Source
from cotam.gateway.patch_format import Patch, base_of, depth_of, is_patch, read_patch
from cotam.gateway.request_options import RequestOptions
from cotam.gateway.store import digest_of
from cotam.image.read import to_rgb
from cotam.pasted import paste

SCREEN = page(208, 320, 12)
DEFAULT = RequestOptions()
CODED = cotam.encode(picture(32, 48))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def step(number: int, pixels: np.ndarray = SCREEN) -> np.ndarray:
    """The screen with a small mark that is elsewhere in every step."""
    pixels = pixels.copy()
    pixels[64:80, 16 * number : 16 * number + 16] = (200, 30, 30)
    return pixels


class Conversation:
    """The images of a conversation, one more in each turn."""

    def __init__(self, patcher: Patcher | None = None) -> None:
        self.patcher = patcher or Patcher()
        self.sources: list[Source] = []

    def add(self, pixels: np.ndarray, options: RequestOptions = DEFAULT) -> bytes:
        data = png(pixels)
        file, _ = self.patcher(data, options, self.sources)
        self.sources.append(Source(data, options, file))
        return file

    def seen(self, file: bytes) -> np.ndarray:
        """What a model sees."""
        if not is_patch(file):
            return np.asarray(cotam.decode(file))
        base = self.patcher.base(base_of(file))
        assert base
        patch = read_patch(file)
        return paste(self.seen(base), patch.changes, (patch.height, patch.width))


def test_a_small_change_becomes_a_patch() -> None:
    talk = Conversation()
    first, second = talk.add(SCREEN), talk.add(step(3))
    assert not is_patch(first)
    assert is_patch(second)
    assert len(second) < len(first) / 4
    assert base_of(second) == digest_of(first)
    seen, whole = talk.seen(second), talk.seen(first)
    assert (seen != whole).any(2).sum() <= 16 * 16
    assert abs(seen[64:80, 48:64].astype(int) - (200, 30, 30)).mean() < 25


def test_the_base_is_the_image_that_shares_most() -> None:
    talk = Conversation()
    first = talk.add(SCREEN)
    talk.add(picture(208, 320))
    third = talk.add(step(3))
    assert base_of(third) == digest_of(first)


def test_a_long_session_is_not_decoded_anew_for_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def decode(data: bytes) -> np.ndarray:
        decoded.append(data)
        return to_rgb(data)

    monkeypatch.setattr(patch_encoder, "to_rgb", decode)
    talk = Conversation(Patcher(cache=200_000))  # room for the hashes of less than 100 images
    talk.sources = [Source(png(np.full((32, 48, 3), n, np.uint8)), DEFAULT, CODED) for n in range(150)]
    for number in range(3):
        decoded.clear()
        talk.add(picture(32, 48, number))
    assert len(decoded) <= 2


def test_what_shares_little_is_whole() -> None:
    talk = Conversation()
    talk.add(SCREEN)
    assert not is_patch(talk.add(picture(208, 320)))


def test_a_patch_that_is_larger_is_not_taken() -> None:
    talk = Conversation()
    talk.add(np.full((64, 64, 3), 255, np.uint8))
    new = np.full((64, 64, 3), 255, np.uint8)
    new[20:28, 20:28] = 0
    assert len(talk.add(new)) <= len(cotam.encode(new))


@pytest.mark.parametrize("size", [(192, 320), (208, 300), (200, 310), (224, 336)])
def test_sizes_may_differ(size: tuple[int, int]) -> None:
    talk = Conversation()
    talk.add(SCREEN)
    new = page(224, 336, 12).copy()
    new[:208, :320] = SCREEN
    new = new[: size[0], : size[1]]
    file = talk.add(new)
    assert is_patch(file)
    assert talk.seen(file).shape == new.shape


def test_a_chain_has_at_most_eight_patches() -> None:
    talk = Conversation()
    pixels, depths = SCREEN, []
    for number in range(19):
        pixels = step(number, pixels)
        depths.append(depth_of(talk.add(pixels)))
    assert depths == [*range(9), *range(9), 0]


def test_an_image_is_encoded_once() -> None:
    talk = Conversation()
    talk.add(SCREEN)
    file = talk.add(step(3))
    again = talk.patcher(png(step(3)), DEFAULT, [])
    assert again == (file, True)  # in another conversation too: its base is kept


def test_without_its_base_an_image_is_whole_and_stays_so() -> None:
    patcher = Patcher(cache=15_000)
    talk = Conversation(patcher)
    talk.add(SCREEN)
    assert is_patch(talk.add(step(3)))
    for seed in range(8):  # other conversations push the base out
        Conversation(patcher).add(picture(64, 64, seed))
    files = [patcher(png(step(3)), DEFAULT, [])[0] for _ in range(2)]
    assert files[0] == files[1] == cotam.encode(step(3))


def test_a_new_edge_makes_the_same_patches() -> None:
    one, two = Conversation(), Conversation()
    for number in range(4):
        assert one.add(step(number)) == two.add(step(number))


def test_images_that_are_shrunk_become_patches_of_what_the_model_sees() -> None:
    options = RequestOptions(max_pixels=30_000)
    talk = Conversation()
    talk.add(SCREEN, options)
    file = talk.add(step(3), options)
    assert is_patch(file)
    assert talk.seen(file).shape == (139, 214, 3)


def test_a_byte_budget_is_for_the_whole_image() -> None:
    options = RequestOptions(target_size=3000)
    talk = Conversation()
    talk.add(SCREEN, options)
    file = talk.add(step(3), options)
    assert not is_patch(file)
    assert len(file) <= 3000


def test_what_was_scrolled_is_copied_from_the_latest_image() -> None:
    """An earlier one has more cells in common."""
    blank = np.full((400, 480, 3), 250, np.uint8)
    written, scrolled = blank.copy(), blank.copy()
    written[160:320, :240] = page(160, 240, 10)
    scrolled[24:184, :240] = page(160, 240, 10)
    talk = Conversation()
    talk.add(blank)
    second, third = talk.add(written), talk.add(scrolled)
    assert base_of(third) == digest_of(second)
    assert {copy.from_top - copy.top for copy in read_patch(third).changes.copies} == {136}
    assert len(third) < len(second) / 2
    np.testing.assert_array_equal(talk.seen(third)[32:176], talk.seen(second)[168:312])


def test_an_equal_image_in_other_bytes_is_a_patch_without_rectangles() -> None:
    talk = Conversation()
    first = talk.add(SCREEN)
    buffer = io.BytesIO()
    Image.fromarray(SCREEN).save(buffer, "PNG", compress_level=1)
    file, _ = talk.patcher(buffer.getvalue(), DEFAULT, talk.sources)
    assert read_patch(file) == Patch(320, 208, digest_of(first), 1, Changes([], []))
