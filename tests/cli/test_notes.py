"""What is mended, left out or grows is said on standard error and in JSON, and is an error with --strict."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from clips import clip, still_scene
from command_line import PIXELS, invoke
from PIL import Image
from synthetic import picture

import cotam


@pytest.fixture(autouse=True)
def cut_image(folder: Path) -> None:
    """An image without its end marker."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=95)
    Path("cut.jpg").write_bytes(file.getvalue()[:-2])


def rows_of(result: Result) -> dict[str, dict[str, Any]]:
    return {row["file"]: row for row in map(json.loads, result.stdout.splitlines())}


def test_each_note_is_one_line() -> None:
    name = "cut\nshort.jpg"
    Path(name).write_bytes(Path("cut.jpg").read_bytes())
    assert invoke("encode", name).stderr == f"cotam: note: cut short.jpg: {MISSING}\n"
    assert Path("cut\nshort.cotam").exists()


def test_a_note_is_given_once() -> None:
    Path("damaged.tiff").write_bytes(b"II*\0" + b"RZZZ" + bytes(20))
    lines = invoke("encode", "damaged.tiff").stderr.splitlines()
    assert [line[:12] for line in lines] == ["cotam: note:", "cotam: error"]


MISSING = "the end of the file is missing, but all pixels are there"


def test_a_repaired_image_is_noted() -> None:
    result = invoke("encode", "photo.png", "cut.jpg", "--json")
    assert result.exit_code == 0
    assert result.stderr == f"cotam: note: cut.jpg: {MISSING}\n"
    rows = rows_of(result)
    assert (rows["photo.png"]["notes"], rows["cut.jpg"]["notes"]) == ([], [MISSING])
    data = Path("photo.cotam").read_bytes()
    found = {
        key: rows["photo.png"][key] for key in ("output", "bytes", "width", "height", "bytes_in", "frames")
    }
    assert found == {
        "output": "photo.cotam",
        "bytes": len(data),
        "width": 100,
        "height": 70,
        "bytes_in": Path("photo.png").stat().st_size,
        "frames": 1,
    }


@pytest.mark.parametrize("arguments", ["info cut.jpg --for claude --for o3", "guide show cut.jpg -o map.png"])
def test_commands_that_only_look_note_it_too(arguments: str) -> None:
    result = invoke(*arguments.split())
    assert (result.exit_code, result.stderr) == (0, f"cotam: note: cut.jpg: {MISSING}\n")


def test_strict_makes_notes_errors() -> None:
    result = invoke("encode", "photo.png", "cut.jpg", "--strict", "--json")
    assert result.exit_code == 1
    assert result.stderr == f"cotam: error: cut.jpg: {MISSING}\n"
    assert rows_of(result)["cut.jpg"]["error"] == f"cut.jpg: {MISSING}"
    assert Path("photo.cotam").exists()
    assert not Path("cut.cotam").exists()


def test_a_file_that_grew_is_noted() -> None:
    Image.fromarray(picture(200, 200)).save("tiny.avif", quality=0)
    size = Path("tiny.avif").stat().st_size
    result = invoke("encode", "tiny.avif")
    after = Path("tiny.cotam").stat().st_size
    assert after > size
    assert result.stderr.startswith(f"cotam: note: tiny.avif: grew from {size} to {after} bytes")
    assert f"keep the original, or give a target size below {size}" in result.stderr
    assert invoke("encode", "tiny.avif", "--quiet").stderr == ""
    assert invoke("encode", "tiny.avif", "--strict").exit_code == 1
    result = invoke("encode", "tiny.avif", "--fps", 1)
    assert "keep the original, or lower --quality or --fps" in result.stderr  # there is no --target-size


def test_frames_that_are_not_encoded_are_noted() -> None:
    frames = [Image.fromarray(picture(40, 60, seed=n)) for n in range(3)]
    frames[0].save("moving.webp", save_all=True, append_images=frames[1:], duration=500)
    result = invoke("encode", "moving.webp")
    text = "the first of 3 frames is encoded; cotam encode --fps 1 takes one a second, as a sequence"
    assert f"moving.webp: {text}" in result.stderr
    assert invoke("encode", "moving.webp", "--strict").exit_code == 1


def test_warnings_of_libraries_are_notes_of_their_input() -> None:
    Image.fromarray(PIXELS).save("odd.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    Path("odd2.jpg").write_bytes(Path("odd.jpg").read_bytes())
    rows = rows_of(invoke("encode", "odd.jpg", "odd2.jpg", "--json", "-j", 2))
    for row in rows.values():
        assert any("EXIF" in note for note in row["notes"])


def test_json_needs_standard_output() -> None:
    for arguments in (("encode", "photo.png", "-o", "-"), ("decode", "-")):
        result = invoke(*arguments, "--json")
        assert (result.exit_code, "--json writes to standard output" in result.stderr) == (2, True)


def test_json_of_decode() -> None:
    invoke("encode", "photo.png")
    rows = rows_of(invoke("decode", "photo.cotam", "missing.cotam", "--json"))
    assert rows["photo.cotam"]["output"] == "photo.cotam.png"
    assert "No such file" in rows["missing.cotam"]["error"]


# Running again


def test_a_second_run_skips_its_own_outputs() -> None:
    assert invoke("encode", *sorted(Path().iterdir())).exit_code == 0
    coded = Path("photo.cotam").read_bytes()
    again = invoke("encode", *sorted(Path().iterdir()))
    assert again.exit_code == 0
    assert "cotam: note: photo.cotam: is a .cotam file: skipped\n" in again.stderr
    assert Path("photo.cotam").read_bytes() == coded
    assert invoke("decode", *sorted(Path().glob("*.cotam"))).exit_code == 0
    again = invoke("decode", *sorted(Path().glob("photo.cotam*")))
    assert (again.exit_code, "photo.cotam.png: is the output of photo.cotam: skipped" in again.stderr) == (
        0,
        True,
    )


def test_a_coded_file_alone_is_an_error() -> None:
    invoke("encode", "photo.png")
    result = invoke("encode", "photo.cotam", "-o", "again.cotam")
    assert result.stderr == ("cotam: error: photo.cotam: is a .cotam file already: cotam decode reads it\n")


def test_a_folder_is_for_batch() -> None:
    Path("photos").mkdir()
    result = invoke("encode", "photos/")
    assert result.exit_code == 1
    assert "photos/: is a folder: cotam batch photos/ OUT encodes what is in it" in result.stderr


@pytest.mark.parametrize("source", ["missing.cotam", "folder", "photo.png", "empty", "-"])
@pytest.mark.parametrize("command", ["decode", "encode", "info"])
def test_every_error_has_a_line_of_json(command: str, source: str) -> None:
    Path("folder").mkdir()
    Path("empty").touch()
    Path("photo.png").write_bytes(b"no image")
    result = invoke(command, source, "--json", *(["-o", "out.png"] if command == "decode" else []))
    if command == "encode" and source == "-":
        assert result.exit_code == 2  # the output would go to standard output, too
        return
    assert result.exit_code == 1
    (row,) = rows_of(result).values()
    assert row["error"]


# Images and videos


def test_images_and_videos_together() -> None:
    pytest.importorskip("av")
    Path("clip.mp4").write_bytes(clip(still_scene(4, (64, 96)), [0, 0.5, 1, 1.5]))
    result = invoke("encode", "clip.mp4", "photo.png", "--json", "--key-every", 1)
    assert result.exit_code == 0
    rows = rows_of(result)
    assert (rows["clip.mp4"]["frames"], rows["photo.png"]["frames"]) == (2, 1)
    assert len(cotam.open_sequence("clip.cotam").info.keys) == 2
    assert cotam.info(Path("photo.cotam").read_bytes()).width == 100
    again = invoke("decode", "clip.cotam", "photo.cotam", "-o", "out/")
    assert again.exit_code == 0
    assert len(list(Path("out/clip.frames").iterdir())) == 2
    assert Path("out/photo.png").exists()


def test_frames_of_an_earlier_sequence_stay_and_are_noted() -> None:
    for name, count in (("long", 3), ("short", 2)):
        frames = [(float(second), PIXELS) for second in range(count)]
        Path(f"{name}.cotam").write_bytes(b"".join(cotam.encode_frames(frames)))
    Path("frames").mkdir()
    Path("frames/mine.png").touch()
    for _ in range(2):
        assert invoke("decode", "long.cotam", "-o", "frames/").stderr == ""
    note = "frames/ also has 1 frame of another sequence, such as 00002.000000.png"
    assert invoke("decode", "short.cotam", "-o", "frames/").stderr == f"cotam: note: short.cotam: {note}\n"
    assert len(list(Path("frames").iterdir())) == 4
    assert invoke("decode", "short.cotam", "-o", "frames/", "--strict").exit_code == 1


@pytest.mark.parametrize("form", ["gif", "webp", "png", "avif"])
def test_animated_images_as_videos(form: str) -> None:
    frames = [Image.fromarray(picture(48, 64, seed=n)) for n in range(4)]
    frames[0].save(f"moving.{form}", save_all=True, append_images=frames[1:], duration=500)
    assert invoke("encode", f"moving.{form}", "--fps", 2).exit_code == 0
    found = list(cotam.decode_frames(Path("moving.cotam").read_bytes()))
    assert [seconds for seconds, _ in found] == pytest.approx([0, 0.5, 1, 1.5], abs=0.01)
    for (_, image), frame in zip(found, frames, strict=True):
        assert np.abs(np.asarray(image).astype(int) - np.asarray(frame)).mean() < 20
    assert invoke("encode", f"moving.{form}", "--fps", 2, "--max-frames", 2).exit_code == 0
    times = [seconds for seconds, _ in cotam.decode_frames(Path("moving.cotam").read_bytes())]
    assert times == pytest.approx([0, 1.5], abs=0.01)


@pytest.mark.parametrize(("options", "step"), [(["--fps", "10"], 1), (["--frames", "mjpeg@10"], 0.1)])
def test_pages_and_frames_of_another_size_are_scaled(options: list[str], step: float) -> None:
    images = [Image.new("RGB", size, "teal") for size in ((64, 48), (32, 24), (32, 24))]
    if options[0] == "--fps":
        images[0].save("in", "TIFF", save_all=True, append_images=images[1:])
    else:
        with open("in", "wb") as file:
            for image in images:
                image.save(file, "JPEG")
    result = invoke("encode", "in", *options)
    assert f"in: from {step:.1f} s on frames are 32×24: scaled to the first one's size" in result.stderr
    assert cotam.open_sequence("in.cotam").info.times == (0, step, 2 * step)


def test_an_animation_that_is_cut_says_so() -> None:
    frames = [Image.fromarray(picture(48, 64, seed=n)) for n in range(4)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:], duration=500)
    data = Path("moving.gif").read_bytes()
    Path("moving.gif").write_bytes(data[: len(data) * 2 // 3])
    result = invoke("encode", "moving.gif", "--fps", 2)
    assert result.exit_code == 0
    assert 1 <= len(list(cotam.decode_frames(Path("moving.cotam").read_bytes()))) < 4
    assert "the rest is left out" in result.stderr


def test_a_gif_without_its_last_frames_says_so() -> None:
    """Pillow ends in silence where a frame was cut off before its pixels."""
    frames = [Image.fromarray(picture(48, 64, seed=n)) for n in range(4)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:], duration=500)
    data = Path("moving.gif").read_bytes()
    last = data.rindex(b"\x21\xf9\x04")  # the graphic control extension before a frame
    for cut, note in ((data + b"junk", ""), (data[:last], "the end of the file is missing after frame 2")):
        Path("moving.gif").write_bytes(cut)
        result = invoke("encode", "moving.gif", "--fps", 2)
        assert (result.exit_code, note in result.stderr, bool(result.stderr)) == (0, True, bool(note))


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_a_tiff_as_a_video(big: bool) -> None:
    """FFmpeg reads the first alone, and none of a BigTIFF."""
    pages = [Image.fromarray(picture(48, 64, seed=n)) for n in range(3)]
    pages[0].save("pages.tif", save_all=True, append_images=pages[1:], big_tiff=big)
    assert invoke("encode", "pages.tif", "--fps", 10).exit_code == 0
    assert len(list(cotam.decode_frames(Path("pages.cotam").read_bytes()))) == 3


@pytest.mark.parametrize("text", ["3500", "3.5k", "3.5kP", "0.0035M", "0.0035MP"])
def test_max_pixels(text: str) -> None:
    assert invoke("encode", "photo.png", "--max-pixels", text).exit_code == 0
    found = cotam.info(Path("photo.cotam").read_bytes())
    assert 3300 < found.width * found.height <= 3500
    assert "is not a number of pixels" in invoke("encode", "photo.png", "--max-pixels", "many").stderr


def test_an_image_that_is_shrunk_for_a_budget_is_said() -> None:
    result = invoke("encode", "photo.png", "--target-size", "70", "-o", "small.cotam")
    found = cotam.info(Path("small.cotam").read_bytes())
    assert (result.exit_code, found.bytes <= 70) == (0, True)
    size = f"{PIXELS.shape[1]}×{PIXELS.shape[0]}"
    assert f"photo.png: shrunk from {size} to {found.width}×{found.height} to fit" in result.stderr
