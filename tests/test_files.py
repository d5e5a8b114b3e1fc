"""Outputs have the right names, and are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cotam
from cotam import files
from cotam.cli.main import main
from cotam.files import STANDARD, check_output, identities, make_folder, plan_outputs, write_whole

unix = pytest.mark.skipif(os.name != "posix", reason="permissions and devices of Unix")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.fixture
def no_root() -> Iterator[None]:
    """Root may write everywhere, so as root be somebody else."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def left_over(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


# Names


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["a/photo.jpg"], None, ["a/photo.cotam"]),
        (["photo"], None, ["photo.cotam"]),
        (["photo.v2.jpg"], None, ["photo.v2.cotam"]),
        (["-"], None, ["-"]),
        (["-", "a.png"], None, ["-", "a.cotam"]),
        (["a.png"], "-", ["-"]),
        (["a.png"], "b", ["b"]),
        (["a.png", "x/b.png"], "new/", ["new/a.cotam", "new/b.cotam"]),
    ],
)
def test_outputs_take_the_names_of_inputs(inputs: list[str], output: str | None, expected: list[str]) -> None:
    assert [Path(p) for _, p in plan_outputs(inputs, output, ".cotam")[0]] == [Path(p) for p in expected]


def test_folder_that_exists_needs_no_slash(tmp_path: Path) -> None:
    assert plan_outputs(["a.png"], str(tmp_path), ".cotam")[0] == [("a.png", str(tmp_path / "a.cotam"))]


def test_suffix_is_kept_beside_the_input_only(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    source = str(tmp_path / "here" / "a.cotam")

    def name(output: str | None) -> str:
        return Path(plan_outputs([source], output, ".png", keep_suffix_beside=True)[0][0][1]).name

    assert name(None) == name(str(tmp_path / "here")) == name(str(tmp_path / "link")) == "a.cotam.png"
    assert name(str(tmp_path / "there")) == "a.png"


def test_outputs_of_other_inputs_are_skipped() -> None:
    inputs = ["x/a.cotam", "x/a.cotam.png", "./x/b.cotam"]
    pairs, skipped = plan_outputs(inputs, None, ".png", keep_suffix_beside=True)
    assert pairs == [("x/a.cotam", "x/a.cotam.png"), ("./x/b.cotam", "x/b.cotam.png")]
    assert skipped == {"x/a.cotam.png": "is the output of x/a.cotam: skipped"}


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["a.png", "b.png"], "c.cotam", "2 inputs need a folder"),
        (["a.png", "b.png"], "-", "2 inputs need a folder"),
        (["a.png", "a.jpg"], None, r"a.png and a.jpg would both be written to a.cotam"),
        (["a.png", "x/a.png"], "out/", r"would both be written to out.a.cotam"),
        (["-", "-"], None, "would both be written to -"),
        (["-"], "out/", "no name"),
        (["/dev/stdin"], None, "/dev/stdin is not in a folder"),
        (["a.png"], "", "name of the output is empty"),
    ],
)
def test_outputs_that_cannot_be(inputs: list[str], output: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_outputs(inputs, output, ".cotam")


def test_names_that_differ_in_case_are_one_file_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match=r"A.png and a.jpg would both be written to a.cotam"):
        plan_outputs(["A.png", "a.jpg"], None, ".cotam")


def test_folder_is_made_when_asked_for(tmp_path: Path) -> None:
    make_folder(None)
    make_folder(str(tmp_path / "file"))
    assert not (tmp_path / "file").exists()
    make_folder(f"{tmp_path}/a/b/")
    make_folder(f"{tmp_path}/a/b/")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="this folder cannot be made"):
        make_folder(f"{tmp_path}/file/")


# Refusing


def test_input_is_no_output_under_any_name(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"precious")
    (tmp_path / "symbolic").symlink_to(source)
    (tmp_path / "hard").hardlink_to(source)
    sources = identities([str(source), str(tmp_path / "missing"), STANDARD])
    for name in ("a", "symbolic", "hard"):
        with pytest.raises(FileExistsError, match="is an input"):
            check_output(str(tmp_path / name), sources)
    check_output(str(tmp_path / "b"), sources)
    check_output(STANDARD, sources)


def test_no_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_whole(str(target), b"first", overwrite=False)
    for refuse in (check_output, write_whole):
        arguments = (str(target), set() if refuse is check_output else b"second")
        with pytest.raises(FileExistsError, match="exists already") as caught:
            refuse(*arguments, overwrite=False)
        assert caught.value.filename == str(target)
    assert target.read_bytes() == b"first"
    write_whole(str(target), b"second")
    assert target.read_bytes() == b"second"


# Writing


@unix
def test_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(str(tmp_path / "new"), b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@unix
def test_permissions_of_a_file_stay(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o604)
    write_whole(str(target), b"new")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", 0o604)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for name, old in (("old", b"old"), ("new", None)):
        target, link = tmp_path / "real" / name, tmp_path / name
        if old:
            target.write_bytes(old)
        link.symlink_to(target)
        write_whole(str(link), b"data")
        assert link.is_symlink()
        assert not target.is_symlink()
        assert target.read_bytes() == b"data"
    assert not left_over(tmp_path)


def test_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        write_whole(str(target), b"new and longer")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new and longer"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def write_a_part(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:2])
        raise error

    target = tmp_path / "a"
    target.write_bytes(b"old")
    monkeypatch.setattr(files, "_write_all", write_a_part)
    with pytest.raises(type(error)) as caught:
        write_whole(str(target), b"new")
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(target)
        assert caught.value.strerror == "cannot be written: No space left on device"
    with pytest.raises(type(error)):
        write_whole(str(tmp_path / "b"), b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"old"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nobody closes the file
def test_an_interrupt_as_soon_as_a_file_is_made_leaves_none(tmp_path: Path) -> None:
    def interrupt(frame: object, event: str, argument: object) -> Any:
        if any(tmp_path.iterdir()):
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), files.writing(str(tmp_path / "a.bin")) as file:
            file.write(b"never")
    finally:
        sys.settrace(before)
    assert not any(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "missing" / "a", tmp_path / "file" / "a", tmp_path):
        with pytest.raises(OSError, match="cannot be written") as caught:
            write_whole(str(path), b"data")
        assert caught.value.filename == str(path)
    assert not left_over(tmp_path)


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There not even a file that does not exist can be removed: that error hid the first one."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(OSError, match="cannot be written: Read-only") as caught:
        write_whole(str(tmp_path / "a"), b"data")
    assert caught.value.filename == str(tmp_path / "a")


@unix
def test_file_without_permission_to_write_is_left(open_folder: Path, no_root: None) -> None:
    target = open_folder / "a"
    target.write_bytes(b"old")
    target.chmod(0o444)
    with pytest.raises(PermissionError, match="cannot be written"):
        write_whole(str(target), b"new")
    assert target.read_bytes() == b"old"


@unix
def test_folder_without_permission_to_write(open_folder: Path, no_root: None) -> None:
    inner = open_folder / "inner"
    inner.mkdir(mode=0o555)
    with pytest.raises(PermissionError, match="cannot be written") as caught:
        write_whole(str(inner / "a"), b"new")
    assert caught.value.filename == str(inner / "a")


@unix
def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    write_whole(os.devnull, b"data")
    write_whole(os.devnull, b"data", overwrite=False)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(str(pipe), memoryview(b"data"))
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="cannot be written: No space left") as caught:
            write_whole("/dev/full", b"data")
        assert caught.value.filename == "/dev/full"


@unix
def test_reader_that_has_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(BrokenPipeError):
            write_whole(f"/dev/fd/{writer}", b"data")
    finally:
        os.close(writer)


# Reading


@unix
def test_endless_input_is_not_read_if_its_head_is_wrong() -> None:
    result = CliRunner().invoke(main, ["decode", "/dev/zero", "-o", os.devnull])
    assert result.stderr == "cotam: error: /dev/zero: not a .cotam file: the magic bytes are missing\n"


@unix
@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_a_pipe_that_does_not_end_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_PIPE", 100_000)
    pipe, start = str(tmp_path / "pipe"), cotam.encode(np.zeros((16, 16, 3), np.uint8))
    os.mkfifo(pipe)

    def write() -> None:
        with suppress(BrokenPipeError), open(pipe, "wb", buffering=0) as file:
            file.write(start)
            while True:
                file.write(bytes(4096))

    writer = Thread(target=write)
    writer.start()
    output = [] if command == "info" else ["-o", str(tmp_path / "out")]
    form = ["--format", "png"] if command == "decode" else []
    result = CliRunner().invoke(main, [command, pipe, *output, *form])
    assert (result.exit_code, "more than 100000 bytes came" in result.stderr) == (1, True)
    writer.join(60)
    assert not writer.is_alive()


@unix
def test_standard_output_by_its_name_keeps_what_others_write(tmp_path: Path) -> None:
    program = "from cotam.files import write_whole; write_whole('/dev/stdout', b'cotam, ')"
    with open(tmp_path / "log", "wb", buffering=0) as log:
        log.write(b"before, ")
        subprocess.run([sys.executable, "-c", program], stdout=log, check=True)
        log.write(b"after")
    assert (tmp_path / "log").read_bytes() == b"before, cotam, after"
