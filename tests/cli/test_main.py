"""The command line: what is written where, what is said, and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import Result
from command_line import CODED, PIXELS, invoke, pixels_of
from mutations import with_header_crc
from PIL import ExifTags, Image, ImageCms

import cotam
from cotam.errors import InputError

pytestmark = pytest.mark.usefixtures("folder")
unix = pytest.mark.skipif(os.name != "posix", reason="devices of Unix")


def error_of(result: Result) -> str:
    """The one line of an error that is no usage error."""
    assert result.exit_code == 1
    assert result.stderr.startswith("cotam: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("cotam: error: ").rstrip()


# Encoding


def test_encode_writes_beside_the_input_and_says_nothing() -> None:
    result = invoke("encode", "photo.png")
    assert (result.exit_code, result.output) == (0, "")
    assert Path("photo.cotam").read_bytes() == CODED
    assert not list(Path().glob(".*"))


def test_encode_options_reach_the_codec() -> None:
    transparent = Image.fromarray(PIXELS).convert("RGBA")
    transparent.putalpha(100)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    transparent.save("all.png", exif=exif, icc_profile=profile)

    def coded(*options: str) -> bytes:
        assert invoke("encode", "all.png", *options).output == ""
        return Path("all.cotam").read_bytes()

    assert coded() == cotam.encode("all.png")
    assert coded("-q", "7") == cotam.encode("all.png", quality=7)
    assert coded("--background", "#102030") == cotam.encode("all.png", background=(16, 32, 48))
    assert coded("--metadata", "all") == cotam.encode("all.png", metadata=["exif", "icc"])
    assert coded("--metadata", "exif") == cotam.encode("all.png", metadata=["exif"])
    assert coded("--guide", "none", "--metadata", "none") == cotam.encode("all.png", guide="none")


@pytest.mark.parametrize("size", ["1k", "1000", "0.001M", "1kB", "1000B"])
def test_target_size(size: str) -> None:
    assert invoke("encode", "photo.png", "--target-size", size).exit_code == 0
    assert Path("photo.cotam").read_bytes() == cotam.encode(PIXELS, target_size=1000)


def test_verbose_has_a_line_for_each_file() -> None:
    result = invoke("encode", "photo.png", "-v")
    expected = f"photo.png -> photo.cotam: {len(CODED)} bytes, {8 * len(CODED) / 7000:.3f} bpp, "
    assert result.stderr.startswith(expected)
    decoded = expected.replace("photo.png -> photo.cotam", "photo.cotam -> photo.cotam.png")
    assert invoke("decode", "photo.cotam", "-v").stderr.startswith(decoded)


def test_animation_is_noted_unless_quiet() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    result = invoke("encode", "moving.gif")
    assert result.stderr.startswith("cotam: note: moving.gif: the first of 2 frames is encoded; ")
    assert Path("moving.cotam").read_bytes() == cotam.encode(frames[0])
    assert invoke("encode", "moving.gif", "--quiet").output == ""


# Decoding


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff", "tif", "bmp", "ppm", "PNG", "jpg", "jpeg", "avif"])
def test_decode_writes_the_format_of_the_suffix(suffix: str) -> None:
    assert invoke("decode", "coded.cotam", "-o", f"out.{suffix}").output == ""
    error = pixels_of(f"out.{suffix}").astype(int) - np.asarray(cotam.decode(CODED))
    assert np.abs(error).mean() < 3 if suffix in {"jpg", "jpeg", "avif"} else not error.any()


def test_decode_beside_the_input_spares_the_original() -> None:
    assert invoke("decode", "coded.cotam").output == ""
    assert np.array_equal(pixels_of("coded.cotam.png"), np.asarray(cotam.decode(CODED)))
    assert invoke("decode", "coded.cotam", "-o", ".", "--format", "webp").output == ""
    assert Path("coded.cotam.webp").exists()
    assert invoke("decode", "coded.cotam", "-o", "pictures/", "--format", "jpg").output == ""
    assert Path("pictures/coded.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_format_goes_before_suffix() -> None:
    assert invoke("decode", "coded.cotam", "-o", "odd.name", "--format", "ppm").output == ""
    assert Path("odd.name").read_bytes().startswith(b"P6\n100 70\n")


def test_metadata_come_back() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2026:01:01 00:00:00"}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xa4</x:xmpmeta>"
    Image.fromarray(PIXELS).save("all.jpg", exif=exif, icc_profile=profile, xmp=xmp)
    assert invoke("encode", "all.jpg", "--metadata", "exif,icc,xmp").output == ""
    for suffix in ("png", "jpg", "webp", "avif"):
        assert invoke("decode", "all.cotam", "-o", f"back.{suffix}").output == ""
        with Image.open(f"back.{suffix}") as image:
            assert image.getexif()[ExifTags.Base.Make] == "a camera"
            assert image.info["icc_profile"]
            assert image.info["xmp"] == xmp
    note = "TIFF outputs hold no exif or xmp: left out"
    assert note in invoke("decode", "all.cotam", "-o", "back.tiff").stderr


def test_size_limit() -> None:
    Path("large.cotam").write_bytes(cotam.encode(np.zeros((1001, 1000, 3), np.uint8)))
    assert invoke("decode", "coded.cotam", "large.cotam", "--size-limit", "2", "-o", "out/").output == ""
    error = error_of(invoke("decode", "large.cotam", "coded.cotam", "--size-limit", "1"))
    assert error.startswith("large.cotam: the image has 1000×1001 pixels")


@pytest.mark.parametrize(("form", "most"), [("webp", "16,383"), ("jpg", "65,500"), ("avif", "32,768")])
def test_what_a_format_cannot_hold_is_one_line(form: str, most: str) -> None:
    Path("long.cotam").write_bytes(cotam.encode(np.zeros((1, 65_537, 3), np.uint8)))
    error = error_of(invoke("decode", "long.cotam", "-o", f"long.{form}"))
    assert error.startswith("long.cotam: cannot be saved as ")
    assert most in error
    assert not Path(f"long.{form}").exists()


# Information


def test_info() -> None:
    result = invoke("info", "coded.cotam")
    name, *rows = result.stdout.splitlines()
    lines = dict(line.split(maxsplit=1) for line in rows)
    assert name == "coded.cotam"
    assert lines["image"] == "100 x 70"
    assert lines["file"] == f"{len(CODED):,} bytes, {8 * len(CODED) / 7000:.3f} bits per pixel"
    assert (lines["quality"], lines["weights"], lines["metadata"]) == ("50", "mllm", "none")
    columns = [line.index(value) for line, value in zip(rows, lines.values(), strict=True)]
    assert len(set(columns)) == 1


def test_info_shows_the_map() -> None:
    levels = np.array([[0, 1, -2, 3], [7, -7, 0, 0], [0, 0, 0, 1]])
    Path("map.cotam").write_bytes(cotam.encode(PIXELS, levels=levels))
    Path("even.cotam").write_bytes(cotam.encode(PIXELS, guide="none"))
    shown = invoke("info", "map.cotam", "--map").stdout.splitlines()
    assert shown[-3:] == ["    . +1 -2 +3", "   +7 -7  .  .", "    .  .  . +1"]
    assert "spread by a gain offset map" in invoke("info", "map.cotam").stdout
    rows = [
        json.loads(line)
        for line in invoke("info", "map.cotam", "even.cotam", "--map", "--json").stdout.splitlines()
    ]
    assert rows[0]["levels"] == levels.tolist()
    assert rows[1]["levels"] == [[0] * 4] * 3
    assert "levels" not in json.loads(invoke("info", "map.cotam", "--json").stdout)


def test_info_as_json_goes_on_after_an_error() -> None:
    Path("text.txt").write_text("hello\n")
    result = invoke("info", "missing.cotam", "coded.cotam", "text.txt", "photo.png", "coded.cotam", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row.get("width") for row in rows] == [None, 100, None, 100, 100]
    assert (rows[1]["file"], rows[1]["height"], rows[1]["bytes"]) == ("coded.cotam", 70, len(CODED))
    assert rows[2]["error"] == "text.txt: not an image of a known format"
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "cotam: error: missing.cotam: No such file or directory",
        "cotam: error: text.txt: not an image of a known format",
    ]


# Many inputs


@pytest.mark.parametrize("jobs", [1, 3])
def test_one_that_fails_does_not_stop_the_others(jobs: int) -> None:
    names = [f"{n}.png" for n in range(6)]
    for name in names:
        Path(name).write_bytes(Path("photo.png").read_bytes())
    Path("2.png").write_bytes(b"no picture")
    result = invoke("encode", *names, "missing.png", "-o", "out/", "-j", jobs)
    assert result.exit_code == 1
    assert sorted(result.stderr.splitlines()) == [
        "cotam: error: 2.png: not an image of a known format",
        "cotam: error: missing.png: No such file or directory",
    ]
    assert sorted(p.name for p in Path("out").iterdir()) == [f"{n}.cotam" for n in (0, 1, 3, 4, 5)]
    assert all(p.read_bytes() == CODED for p in Path("out").iterdir())
    assert invoke("decode", *Path("out").iterdir(), "-o", "back", "-j", jobs).exit_code == 2
    assert invoke("decode", *Path("out").iterdir(), "-o", "back/", "-j", jobs).output == ""
    assert np.array_equal(pixels_of("back/0.png"), pixels_of("back/5.png"))


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("encode missing.png", "missing.png: No such file or directory"),
        ("encode .", ".: is a folder: cotam batch . OUT encodes what is in it"),
        ("encode text.txt", "text.txt: not an image of a known format"),
        ("encode empty", "empty: the file is empty"),
        ("encode coded.png", "coded.png: is a .cotam file already: cotam decode reads it"),
        ("guide show coded.png -o map.png", "coded.png: is a .cotam file already: cotam decode reads it"),
        (
            "encode photo.png -o missing/a.cotam",
            "missing/a.cotam: cannot be written: No such file or directory",
        ),
        ("encode photo.png -o text.txt/a.cotam", "text.txt/a.cotam: cannot be written: Not a directory"),
        ("encode photo.png -o text.txt/", "text.txt/: this folder cannot be made: File exists"),
        ("encode photo.png -o photo.png", "photo.png: is an input, and is not overwritten"),
        ("encode photo.png -o soft.png", "soft.png: is an input, and is not overwritten"),
        ("encode soft.png -o photo.png", "photo.png: is an input, and is not overwritten"),
        ("encode photo.png -o hard.png", "hard.png: is an input, and is not overwritten"),
        (
            "encode photo.png -o coded.cotam --no-overwrite",
            "coded.cotam: exists already, and is not overwritten",
        ),
        ("encode photo.png --target-size 20", "photo.png: the smallest file of this image has about "),
        ("decode missing.cotam", "missing.cotam: No such file or directory"),
        ("decode .", ".: is a folder: cotam batch . OUT --decode"),
        ("decode photo.png", "photo.png: not a .cotam file: the magic bytes are missing"),
        ("decode short.cotam", "short.cotam: the file ends within its "),
        ("decode cut.cotam", "cut.cotam: the file ends after "),
        ("decode changed.cotam", "changed.cotam: the file is damaged"),
        ("decode unknown.cotam", "unknown.cotam: the file was made with weight set "),
        (
            "decode coded.cotam -o photo.png --no-overwrite",
            "photo.png: exists already, and is not overwritten",
        ),
        (
            "decode coded.cotam -o coded.cotam --format png",
            "coded.cotam: is an input, and is not overwritten",
        ),
        ("decode the", "the: the file ends after "),
        ("info missing.cotam", "missing.cotam: No such file or directory"),
        ("info cut.cotam", "cut.cotam: the file ends after "),
        pytest.param(
            "encode photo.png -o /dev/full",
            "/dev/full: cannot be written: No space left on device",
            marks=unix,
        ),
    ],
)
def test_errors_are_one_line_that_names_the_file(arguments: str, message: str) -> None:
    Path("text.txt").write_text("hello\n")
    Path("empty").touch()
    Path("coded.png").write_bytes(CODED)
    Path("soft.png").symlink_to("photo.png")
    Path("hard.png").hardlink_to("photo.png")
    Path("short.cotam").write_bytes(CODED[:12])
    Path("cut.cotam").write_bytes(CODED[:-5])
    Path("the").write_bytes(CODED[:-5])
    Path("changed.cotam").write_bytes(CODED[:-9] + bytes([CODED[-9] ^ 255]) + CODED[-8:])
    Path("unknown.cotam").write_bytes(with_header_crc(CODED[:10] + bytes([CODED[10] ^ 255]) + CODED[11:]))
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert error_of(invoke(*arguments.split())).startswith(message)
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_an_empty_name_is_seen(command: str) -> None:
    """Of a variable that a script did not set."""
    assert error_of(invoke(command, "")) == "'': No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("encode", "Missing argument 'IN...'"),
        ("encode photo.png -q 101", "101 is not in the range 0<=x<=100"),
        ("encode photo.png -q high", "'high' is not a valid integer"),
        ("encode photo.png --target-size 5x", "'5x' is not a number of bytes"),
        (f"encode photo.png --target-size {'9' * 400}", "is not a number of bytes"),
        ("encode photo.png --target-size 0", "'0' is not a number of bytes"),
        ("encode photo.png -q 5 --target-size 5k", "--quality and --target-size exclude each other"),
        ("compare photo.png -q 5 --target-size 5k", "--quality and --target-size exclude each other"),
        ("encode photo.png --metadata exif,all", "'exif,all' is not none, all or some of exif,icc,xmp"),
        ("encode photo.png --background paint", "'paint' is not a colour name or #rrggbb"),
        ("encode photo.png --background #10203040", "'#10203040' is not a colour name or #rrggbb"),
        ("encode photo.png --lossless", "CoTAM has no lossless mode"),
        ("encode photo.png --guide magic", "unknown guide 'magic'"),
        ("encode photo.png --guide-strength nan", "nan is not a finite number"),
        ("encode photo.png -j 0", "0 is not in the range x>=1"),
        ("encode photo.png other.png -o one.cotam", "2 inputs need a folder as output"),
        ("encode photo.png photo.jpg", "photo.png and photo.jpg would both be written to photo.cotam"),
        ("encode - -o out/", "standard input has no name"),
        ("decode coded.cotam -o out.xyz", "out.xyz: the suffix is none of png, jpg"),
        ("decode coded.cotam -o out", "out: the suffix is none of png, jpg"),
        ("decode coded.cotam --format gif", "'gif' is not one of"),
        ("decode coded.cotam -o out.jpg --format png", "out.jpg: its suffix and --format png contradict"),
        ("decode coded.cotam -o o.cotam --format png", "o.cotam: its suffix and --format png contradict"),
        ("encode photo.png -o out.tiff", "out.tiff: .tiff files are not written: choose from .cotam, .jpg"),
        ("encode photo.png -o out.gif", "out.gif: .gif files are not written: choose"),
        ("encode photo.png -o out.jp2", "out.jp2: .jp2 files are not written: choose"),
        ("encode photo.png -o out.cotam --format jpeg", "out.cotam: its suffix and --format jpeg contradict"),
        ("encode photo.png -o out.tif --format webp", "out.tif: .tif files are not written: choose"),
        ("encode photo.png --fps 1 -o out.mp4", "out.mp4: .mp4 files are not written: choose"),
        ("decode coded.cotam --view robot", "'robot' is not"),
        ("decode coded.cotam --size-limit 0", "0 is not in the range x>=1"),
        ("decode coded.cotam --size-limit nan", "'nan' is not a valid integer"),
        ("inform coded.cotam", "No such command 'inform'"),
        ("--inform", "No such option"),
    ],
)
def test_wrong_usage(arguments: str, message: str) -> None:
    before = sorted(Path().iterdir())
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    usage, *_, error = result.stderr.splitlines()
    assert usage.startswith("Usage: cotam")
    assert error.startswith("cotam: error: ")
    assert message in error
    assert sorted(Path().iterdir()) == before


def test_a_command_like_a_misspelt_one_is_suggested() -> None:
    result = invoke("encod")
    assert result.exit_code == 2
    assert "No such command 'encod'" in result.stderr
    if hasattr(click, "NoSuchCommand"):  # click 8.4
        assert "'encode'" in result.stderr


# Groups of the extras


def test_groups_get_their_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.group()
    def group() -> None:
        """A group."""

    @group.command()
    @click.argument("name")
    @click.option("-q", "--quality", type=int)
    def measure(name: str, quality: int) -> None:
        if quality > 100:
            raise InputError("too much")
        click.echo(f"{name} {quality}")

    module = types.ModuleType("cotam_lab.bench.cli")
    monkeypatch.setattr(module, "bench", group, raising=False)
    monkeypatch.setitem(sys.modules, "cotam_lab.bench.cli", module)
    assert invoke("bench", "measure", "a", "-q", "3").stdout == "a 3\n"
    assert invoke("bench", "--help").stdout.startswith("Usage: cotam bench [OPTIONS] COMMAND")
    assert invoke("bench", "measure", "-h").stdout.startswith("Usage: cotam bench measure [OPTIONS] NAME")
    assert invoke("bench", "measure").exit_code == 2
    assert error_of(invoke("bench", "measure", "a", "--quality", "101")) == "too much"


def test_broken_installation_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cotam.gateway.upstream", None)
    with pytest.raises(ModuleNotFoundError, match=r"cotam\.gateway\.upstream"):
        invoke("serve", "--upstream", "http://127.0.0.1:9")


ENDING = """
import runpy, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
def outlive():  # as a thread that opens graphs
    threading.main_thread().join()
    print("waiting", flush=True)
    time.sleep(600)
threading.Thread(target=outlive).start()
runpy.run_module("cotam", run_name="__main__")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interrupt_while_the_process_waits_for_its_threads_shows_no_traceback() -> None:
    arguments = [sys.executable, "-uc", ENDING, "--version"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().startswith(b"cotam")
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == -signal.SIGINT
