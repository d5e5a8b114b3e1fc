"""What users call: images of any kind in, bytes out, images back."""

from __future__ import annotations

import io
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from guides import Left, energy_graph
from mutations import with_boxes
from PIL import ExifTags, Image, ImageCms
from synthetic import level_map, page, picture, screen

import cotam
from cotam.api import encode_image
from cotam.codec import weights
from cotam.errors import (
    CotamError,
    DamagedError,
    FormatError,
    InputError,
    LimitError,
    MissingCodecError,
    MissingExtraError,
    MissingLabError,
    NotCotamError,
    TargetSizeError,
    TruncatedError,
    UnknownWeightsError,
)
from cotam.format.header import read_file, write_file
from cotam.format.varint import varint
from cotam.guide.base import LITE
from cotam.image.psnr import psnr
from cotam.options import Options

PIXELS = picture(70, 100)


def png_with_metadata() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif, icc_profile=profile)
    return file.getvalue()


def test_an_image_comes_back() -> None:
    data = cotam.encode(PIXELS, quality=90)
    image = cotam.decode(data)
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("RGB", (100, 70))
    assert psnr(np.asarray(image), PIXELS) > 25


def test_every_kind_of_input_gives_the_same_file(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "picture.png")
    expected = cotam.encode(PIXELS)
    assert cotam.encode(image) == expected
    assert cotam.encode(tmp_path / "picture.png") == expected
    assert cotam.encode(str(tmp_path / "picture.png")) == expected
    assert cotam.encode((tmp_path / "picture.png").read_bytes()) == expected


def test_transparency_lies_on_the_background() -> None:
    clear = np.zeros((64, 64, 4), np.uint8)
    for background, colour in (("white", (255, 255, 255)), ((200, 30, 40), (200, 30, 40))):
        expected = cotam.encode(np.full((64, 64, 3), colour, np.uint8))
        assert cotam.encode(clear, background=background) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"quality": wrong}, "quality must be a whole number from 0 to 100")
            for wrong in (-1, 101, 50.0, True, "50", None)
        ),
        *(
            ({name: wrong}, f"{name} must be a whole number above 0, got {wrong!r}")
            for name in ("target_size", "max_pixels")
            for wrong in (0, 1.5, "5k")
        ),
        ({"levels": [[0.5] * 4] * 3}, "levels must be integers of shape"),
        ({"levels": [[1, 2], [3]]}, "levels must be integers of shape"),
        ({"metadata": None}, "metadata must be any of exif, icc, xmp, got None"),
        ({"metadata": 5}, "metadata must be any of exif, icc, xmp, got 5"),
        ({"guide": "magic"}, "unknown guide 'magic': choose from .*none"),
        ({"guide": 7}, "guide must be a name or have the method importance, got 7"),
        ({"guide_strength": -1}, "guide_strength must be a number from 0 to 16, got -1"),
        ({"guide_policy": "best"}, "unknown guide_policy 'best'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cotam.encode(PIXELS, **options)


def test_levels_may_be_lists() -> None:
    levels = level_map(70, 100)
    assert cotam.encode(PIXELS, levels=levels.tolist()) == cotam.encode(PIXELS, levels=levels)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["photo.cotam", Path("photo.cotam"), None, PIXELS])
def test_a_name_is_no_file(wrong: Any) -> None:
    for read in (cotam.decode, cotam.info, cotam.level_map, cotam.decode_frames):
        with pytest.raises(InputError, match=r"expected the bytes of a \.cotam file, got "):
            read(wrong)  # type: ignore[operator]


@pytest.mark.parametrize("pixels", [PIXELS, screen(70, 100)], ids=["learned", "flat"])
def test_arrays_of_any_layout(pixels: np.ndarray) -> None:
    fixed = pixels.copy()
    fixed.flags.writeable = False
    upside_down, strided = pixels[::-1].copy()[::-1], pixels.repeat(2, axis=1)[:, ::2]
    expected = cotam.encode(pixels)
    for same in (fixed, upside_down, strided, np.asfortranarray(pixels)):
        assert cotam.encode(same) == expected


def test_bytes_of_any_kind() -> None:
    still = cotam.encode(PIXELS)
    frames = b"".join(cotam.encode_frames([(0, PIXELS), (1, PIXELS)]))
    for kind in (bytearray, memoryview):
        assert cotam.decode(kind(still)).tobytes() == cotam.decode(still).tobytes()
        assert cotam.info(kind(still)) == cotam.info(still)
        assert [s for s, _ in cotam.decode_frames(kind(frames))] == [0, 1]
        assert cotam.open_sequence(kind(frames))[1][0] == 1
        assert cotam.open_sequence(kind(frames)).info.times == (0, 1)


def test_unknown_choices_name_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown view 'x-ray': choose from .*human"):
        cotam.decode(cotam.encode(PIXELS), view="x-ray")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="iptc"):
        cotam.encode(PIXELS, metadata=["iptc"])  # type: ignore[list-item]


def test_a_guide_moves_bits_to_where_it_looks() -> None:
    pixels = picture(256, 320, seed=1)
    plain, guided = (cotam.encode(pixels, quality=40, guide=guide) for guide in ("none", Left()))
    levels = cotam.level_map(guided)
    assert levels.shape == (8, 10)
    assert levels[:, :4].min() > levels[:, 6:].max() + 3
    assert not cotam.level_map(plain).any()
    error = [
        ((np.asarray(cotam.decode(data)).astype(float) - pixels) ** 2).mean((0, 2))
        for data in (plain, guided)
    ]
    assert error[1][:128].mean() < 0.8 * error[0][:128].mean()
    assert error[1][192:].mean() > 1.2 * error[0][192:].mean()
    assert abs(len(guided) / len(plain) - 1) < 0.2  # such a map without correction: 60 %


def test_strength_and_policy_of_a_guide() -> None:
    pixels = picture(256, 320, seed=1)
    assert cotam.encode(pixels, guide=Left(), guide_strength=0) == cotam.encode(pixels, guide="none")
    spread = [
        np.ptp(cotam.level_map(cotam.encode(pixels, guide=Left(), guide_strength=s))) for s in (0.25, 0.5, 1)
    ]
    assert spread == sorted(set(spread))
    ternary = cotam.level_map(cotam.encode(pixels, guide=Left(), guide_policy="ternary"))
    assert set(np.unique(ternary)) == {-2, 0, 2}
    data = cotam.encode(pixels, guide=Left(), target_size=3000)
    assert len(data) <= 3000
    assert cotam.level_map(data).any()


def test_a_guide_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "energy.onnx").write_bytes(energy_graph(side="96"))
    data = cotam.encode(picture(200, 300, seed=6), guide=str(tmp_path / "energy.onnx"), guide_strength=6)
    assert cotam.level_map(data).any()
    (tmp_path / "energy.onnx").unlink()
    assert cotam.decode(data).size == (300, 200)  # a decoder needs no guide


def test_the_embedded_guide_keeps_the_size_of_its_quality() -> None:
    pixels = picture(256, 320, seed=1)
    lite, none = (cotam.encode(pixels, guide=guide) for guide in ("lite", "none"))
    assert cotam.level_map(lite).any()
    assert abs(len(lite) / len(none) - 1) < 0.05


def test_which_guide_is_the_default() -> None:
    pixels = picture(480, 640, seed=3)
    assert cotam.encode(pixels) == cotam.encode(pixels, guide="text") == cotam.encode(pixels, guide="none")
    pixels[200:264, 40:300] = page(64, 260)
    assert cotam.encode(pixels) == cotam.encode(pixels, guide="text") != cotam.encode(pixels, guide="none")
    assert cotam.encode(pixels, guide=LITE) == cotam.encode(pixels, guide="lite")
    assert cotam.encode(pixels, profile="base") == cotam.encode(pixels, profile="base", guide="none")
    levels = np.ones((15, 20), np.int8)
    assert (cotam.level_map(cotam.encode(pixels, levels=levels)) == 1).all()
    with pytest.raises(InputError, match="a guide and levels exclude each other"):
        cotam.encode(pixels, levels=levels, guide="lite")


def test_a_photograph_is_coded_as_with_the_profile_for_encoders() -> None:
    pixels = picture(200, 300, seed=6)
    for options in ({}, {"guide": "none"}, {"guide_strength": 2.0}, {"target_size": 2000}):
        assert cotam.encode(pixels, **options) == cotam.encode(pixels, profile="mllm", **options)  # type: ignore[arg-type]


def test_level_map_is_read_before_the_latents() -> None:
    levels = level_map(70, 100)
    data = cotam.encode(PIXELS, quality=80, levels=levels)
    assert np.array_equal(cotam.level_map(data), levels)
    header = read_file(data).header
    changed = bytearray(data)
    changed[header.payload_start + header.payload_length // 2] ^= 1  # within the latents
    assert np.array_equal(cotam.level_map(bytes(changed)), levels)
    with pytest.raises(DamagedError):
        cotam.decode(bytes(changed))
    with pytest.raises(LimitError):
        cotam.level_map(data, size_limit=6999)
    with pytest.raises(NotCotamError):
        cotam.level_map(b"GIF89a" * 10)


def test_target_size() -> None:
    data = cotam.encode(PIXELS, target_size=900)
    assert len(data) <= 900
    assert len(cotam.encode(PIXELS, quality=cotam.info(data).quality + 1)) > 900
    with pytest.raises(TargetSizeError, match="more than 20"):
        cotam.encode(PIXELS, target_size=20)


def test_an_image_that_fits_a_budget_is_not_shrunk() -> None:
    file = encode_image(page(150, 200, 20), Options(target_size=20_000)).file
    assert (file.width, file.height) == (200, 150)


@pytest.mark.parametrize("target", [60, 200])
def test_an_image_is_shrunk_to_fit_a_budget(target: int) -> None:
    pixels = page(150, 200, 20)
    assert len(cotam.encode(pixels, quality=0)) > 2 * target
    notes: list[str] = []
    found = encode_image(pixels, Options(target_size=target), notes.append)
    assert len(found.file.data) <= target
    shown = f"{found.file.width}×{found.file.height}"
    assert notes == [f"shrunk from 200×150 to {shown} to fit into {target} bytes"]
    assert found.size == (200, 150)
    assert cotam.decode(found.file.data).size == (found.file.width, found.file.height)
    if target > 60:
        assert len(found.file.data) > target / 2


def test_info_says_what_is_in_the_file() -> None:
    levels = np.abs(level_map(70, 100)) + 1
    data = cotam.encode(png_with_metadata(), quality=33, levels=levels, metadata=["exif", "icc", "xmp"])
    found = cotam.info(data)
    assert (found.width, found.height, found.quality) == (100, 70, 33)
    assert found.weights == weights.DEFAULT
    assert found.bytes == len(data)
    assert found.bpp == 8 * len(data) / 7000
    assert found.has_levels
    assert set(found.metadata) == {"exif", "icc"}
    plain = cotam.info(cotam.encode(png_with_metadata(), guide="none"))
    assert (plain.has_levels, plain.metadata) == (False, ())


def test_info_counts_the_bytes_of_files_of_other_encoders() -> None:
    exif = zlib.compress(b"II*\0" * 500, 0)
    boxes = b"E" + varint(len(exif)) + exif + b"n" + varint(4) + b"note"
    data = with_boxes(read_file(cotam.encode(PIXELS)), boxes)
    assert cotam.info(data).bytes == len(data)


def test_metadata_are_on_the_image() -> None:
    data = cotam.encode(png_with_metadata(), metadata=["exif", "icc"])
    image = cotam.decode(data)
    assert image.getexif()[ExifTags.Base.Make] == "a camera"
    assert ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])).profile.profile_description
    saved = io.BytesIO()
    image.save(saved, "PNG")
    assert Image.open(saved).info["icc_profile"] == image.info["icc_profile"]
    assert cotam.decode(cotam.encode(png_with_metadata())).info == {}


def test_size_limit() -> None:
    data = cotam.encode(PIXELS)
    assert cotam.decode(data, size_limit=7000).size == (100, 70)
    for limit in (0, 6999):
        with pytest.raises(LimitError, match="100×70"):
            cotam.decode(data, size_limit=limit)


@pytest.mark.parametrize("wrong", ["x", True, [7000]])
def test_a_size_limit_is_a_number(wrong: Any) -> None:
    data = cotam.encode(PIXELS)
    for read in (cotam.decode, cotam.level_map):
        with pytest.raises(InputError, match="size_limit must be a number of pixels, got "):
            read(data, size_limit=wrong)


@pytest.mark.parametrize("wrong", [5, b"qwen3-vl", ["qwen3-vl"]])
def test_the_model_to_fit_is_a_name(wrong: Any) -> None:
    with pytest.raises(InputError, match="fit must be the name of a model, got "):
        cotam.encode(PIXELS, fit=wrong)


def test_damage_is_named() -> None:
    data = cotam.encode(PIXELS)
    changed = bytearray(data)
    changed[-5] ^= 4
    for wrong, error in [
        (b"", TruncatedError),
        (b"GIF89a" + data, NotCotamError),
        (data[:20], TruncatedError),
        (data[:-1], TruncatedError),
        (data + b"\0", FormatError),
        (bytes(changed), DamagedError),
    ]:
        with pytest.raises(error) as caught:
            cotam.decode(wrong)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        InputError("wrong"),
        TargetSizeError(100, 200),
        MissingExtraError("heic", "pillow_heif"),
        MissingLabError("cotam bench"),
        MissingCodecError("decode", "AVIF"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_from_process_to_process(error: CotamError) -> None:
    """A multiprocessing.Pool waits forever for an error that cannot be unpickled."""
    error.add_note("in a worker")
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))


def test_files_of_unknown_weights() -> None:
    file = read_file(cotam.encode(PIXELS))
    used = {weights.load(name).short_hash for name in weights.names()}
    unknown = next(bytes([7, i]) for i in range(256) if bytes([7, i]) not in used)
    header = type(file.header)(**{**vars(file.header), "weights": unknown})
    data = write_file(type(file)(header, file.payload))
    with pytest.raises(UnknownWeightsError, match=rf"weight set {unknown.hex()}.*{weights.DEFAULT}"):
        cotam.decode(data)
    assert cotam.info(data).weights == unknown.hex()
