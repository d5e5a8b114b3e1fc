"""Data sets through several processes: all outputs, once and whole, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from data_sets import (
    CODED,
    HELD,
    PHOTOS,
    Deadly,
    batch,
    contents,
    folder_of_images,
    here,
    parquet_file,
    rows_of,
    tar_shard,
)
from guides import contrast_graph, energy_graph
from PIL import Image

import cotam
from cotam.datasets.conversion import Conversion, Converted, Encoding
from cotam.datasets.run import find_contents, run
from cotam.datasets.shards import Unit, UnitConverter
from cotam.datasets.workers import processes
from cotam.errors import InputError

PROGRAM = [sys.executable, "-m", "cotam"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return folder_of_images(tmp_path / "src")


def work_of(source: Path, target: Path, conversion: Conversion | None = None) -> UnitConverter:
    return UnitConverter(str(source), str(target), conversion or Encoding({"quality": 50}))


def test_two_processes_do_what_one_does(source: Path, tmp_path: Path) -> None:
    result = batch(source, tmp_path / "two", "-j", 2)
    assert result.exit_code == 1  # one image is broken
    assert "8 images in" in result.output
    assert f"1 failed: {tmp_path / 'two' / 'failures.jsonl'} says why" in result.output
    assert run(work_of(source, tmp_path / "serial"), here).failures == 1
    found, serial = contents(tmp_path / "two"), contents(tmp_path / "serial")
    coded = {name: data for name, data in found.items() if name.endswith(".cotam")}
    assert sorted(coded.values()) == sorted(CODED)
    assert coded["a/b/2.cotam"] == cotam.encode(source / "a/b/2.jpg")
    assert {n: d for n, d in serial.items() if n != "manifest.jsonl"} == {
        n: d for n, d in found.items() if n != "manifest.jsonl"
    }
    assert rows_of(tmp_path / "two/manifest.jsonl")[1:] == rows_of(tmp_path / "serial/manifest.jsonl")[1:]
    error = "a/broken.png: not an image of a known format"
    expected = [{"source": "a/broken.png", "image": "a/broken.png", "error": error}]
    assert rows_of(tmp_path / "two/failures.jsonl") == expected


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    (source / "a/broken.png").unlink()
    assert batch(source, tmp_path / "coded", "-j", 1, "-q", 30).exit_code == 0
    result = batch(tmp_path / "coded", tmp_path / "back", "--decode", "--format", "webp", "-j", 1)
    assert result.exit_code == 0
    assert len(list((tmp_path / "back").rglob("*.webp"))) == len(PHOTOS)
    assert not (tmp_path / "back/failures.jsonl").exists()


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    """In the middle of a shard, whose first half is written by then."""
    tar_shard(tmp_path / "src/s.tar", {f"{n}.jpg": data for n, data in enumerate(PHOTOS)})
    folder_of_images(tmp_path / "src")
    deadly = Deadly(victim=PHOTOS[4], marker=str(tmp_path / "happened"))
    run(work_of(tmp_path / "src", tmp_path / "killed", deadly), partial(processes, jobs=2))
    assert (tmp_path / "happened").exists()
    run(work_of(tmp_path / "src", tmp_path / "serial", Encoding()), here)
    assert contents(tmp_path / "killed") == contents(tmp_path / "serial")


def test_what_kills_every_worker_has_failed(source: Path, tmp_path: Path) -> None:
    work = work_of(source, tmp_path / "out", Deadly(victim=PHOTOS[4]))
    rows = {row.source: row for row in processes(work, find_contents(work).units, jobs=2)}
    assert len(rows) == 9
    error = "a/4.jpg: its worker was killed 3 times: is there too little memory for it?"
    assert rows["a/4.jpg"].failed[0]["error"] == error
    assert sum(row.output is not None for row in rows.values()) == 7


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    for number in range(60):
        path = tmp_path / "src" / f"{number:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PHOTOS[number % 8])
    command = [sys.executable, "-c", HELD, "batch", str(tmp_path / "src"), str(tmp_path / "out"), "-j", "1"]
    manifest = tmp_path / "out/manifest.jsonl"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while not manifest.exists() or manifest.read_bytes().count(b"\n") < 4:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    done = manifest.read_bytes().count(b"\n") - 1
    assert 3 <= done < 60
    with manifest.open("ab") as file:
        file.write(b'{"source": "59.jpg", "outp')  # the last line may be cut
    (tmp_path / "out/00.cotam").unlink()
    (tmp_path / "out/.cotam-0123.tmp").write_bytes(b"half")
    result = batch(tmp_path / "src", tmp_path / "out", "-j", 1)
    assert result.exit_code == 0
    assert f"done before: {done - 1} of 60 files" in result.output
    found = contents(tmp_path / "out")
    manifest_again = found.pop("manifest.jsonl")
    assert found == {f"{n:02}.cotam": CODED[n % 8] for n in range(60)}
    assert manifest_again.count(b"\n") == 61


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize("rows", [1, 4], ids=["starting", "running"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", -signal.SIGTERM)])
def test_an_interrupt_is_one_line_and_leaves_whole_files(
    tmp_path: Path, name: str, code: int, rows: int
) -> None:
    """Sent to all processes, as a terminal sends it."""
    (tmp_path / "src").mkdir()
    for number in range(100):
        (tmp_path / "src" / f"{number}.jpg").write_bytes(PHOTOS[0])
    command = [sys.executable, "-c", HELD, "batch", str(tmp_path / "src"), str(tmp_path / "out"), "-j", "2"]
    manifest = tmp_path / "out/manifest.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not manifest.exists() or manifest.read_bytes().count(b"\n") < rows:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.Signals[name])
        _, said = process.communicate(timeout=300)  # until no worker holds its standard error
    assert said == b"cotam: note: interrupted: the same command converts the rest\n"
    assert process.returncode == code
    found = contents(tmp_path / "out")
    assert len(found.pop("manifest.jsonl").splitlines()) < 101
    assert set(found.values()) <= {CODED[0]}


STARTING = """
import os, signal, sys, threading, time
from multiprocessing.process import BaseProcess
from cotam.cli.main import main

def join(self, timeout=None, join=BaseProcess.join):
    time.sleep(0.3)  # whatever still starts has done so
    join(self, timeout)

moment, occasion, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
occasions = []

def watch(frame, event, _):
    if event == "return" and frame.f_code.co_name == moment:
        occasions.append(frame)
        if len(occasions) == occasion:
            os.kill(os.getpid(), signal.Signals[name])

BaseProcess.join = join
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.setprofile(watch)
sys.setprofile(watch)
main(sys.argv[4:])
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", -signal.SIGTERM)])
@pytest.mark.parametrize(
    ("moment", "occasion"),
    [
        pytest.param("start", 4, id="second"),  # before it: a thread and the first worker
        pytest.param("spawnv_passfds", 2, id="first"),  # before it: the resource tracker of multiprocessing
    ],
)
def test_an_end_while_a_worker_is_started(
    source: Path, tmp_path: Path, moment: str, occasion: int, name: str, code: int
) -> None:
    """Ended at the return of the function called ``moment``, when it is called for the n-th time."""
    command = [sys.executable, "-c", STARTING, moment, str(occasion), name]
    command += ["batch", str(source), str(tmp_path / "out"), "-j", "2"]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.stderr.splitlines()[1:] == [b"cotam: note: interrupted: the same command converts the rest"]
    assert done.returncode == code


def test_workers_end_without_a_word(source: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "batch", str(source), str(tmp_path / "out"), "-j", "3"]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert all(line.startswith(b"cotam: ") for line in done.stderr.splitlines())


@dataclass(frozen=True)
class Wrong(Encoding):
    """Has a bug."""

    def __call__(self, image: Any) -> Converted:
        raise ZeroDivisionError("wrong")


def test_a_bug_in_a_worker_ends_the_run_with_its_traceback(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="wrong") as found:
        run(work_of(source, tmp_path / "out", Wrong()), partial(processes, jobs=2))
    assert "in __call__" in found.value.__notes__[0]


@pytest.mark.skipif(os.name != "posix", reason="locks and signals of Unix")
def test_one_run_at_a_time_and_no_worker_without_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for number in range(200):
        (tmp_path / "src" / f"{number}.jpg").write_bytes(PHOTOS[0])
    command = [sys.executable, "-c", HELD, "batch", str(tmp_path / "src"), str(tmp_path / "out"), "-j", "2"]
    manifest = tmp_path / "out/manifest.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            while not manifest.exists() or manifest.read_bytes().count(b"\n") < 3:
                assert process.poll() is None
                time.sleep(0.01)
            second = batch(tmp_path / "src", tmp_path / "out")
            process.kill()
            process.communicate(timeout=300)  # until no worker holds its standard error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert second.exit_code == 1
    assert "another run is writing there" in second.output


def test_a_table_that_comes_later_changes_no_setting(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (source / "a/broken.png").unlink()
    assert batch(source, tmp_path / "out", "-j", 1).exit_code == 0
    parquet_file(source / "t.parquet", PHOTOS[:2])
    result = batch(source, tmp_path / "out", "-j", 1)
    assert result.exit_code == 0
    assert "2 images in" in result.output


def test_finished_outputs_are_not_redone(source: Path, tmp_path: Path) -> None:
    work = work_of(source, tmp_path / "out")
    run(work, here)
    (tmp_path / "out/a/1.cotam").write_bytes(b"mine")
    (source / "a/broken.png").write_bytes(PHOTOS[0])
    (source / "new.jpg").write_bytes(PHOTOS[1])
    assert not run(work, here).failures
    assert (tmp_path / "out/a/1.cotam").read_bytes() == b"mine"
    assert (tmp_path / "out/new.cotam").read_bytes() == CODED[1]
    assert (tmp_path / "out/a/broken.cotam").read_bytes() == CODED[0]
    assert not (tmp_path / "out/failures.jsonl").exists()
    assert not run(work, here, overwrite=True).failures
    assert (tmp_path / "out/a/1.cotam").read_bytes() == CODED[1]


def test_failures_within_a_finished_shard_stay_listed(tmp_path: Path) -> None:
    tar_shard(tmp_path / "src/s.tar", {"1.jpg": PHOTOS[0], "2.jpg": b"none"})
    work = work_of(tmp_path / "src", tmp_path / "out")
    assert run(work, here).failures
    assert run(work, here).failures
    assert [row["image"] for row in rows_of(tmp_path / "out/failures.jsonl")] == ["s.tar:2.jpg"]


def test_outputs_of_other_settings_are_not_mixed(source: Path, tmp_path: Path) -> None:
    run(work_of(source, tmp_path / "out"), here)
    result = batch(source, tmp_path / "out", "-q", 30)
    assert result.exit_code == 1
    assert "outputs there were made with" in result.output
    assert "quality 50, not 30" in result.output
    assert result.output.endswith("give another folder, or --overwrite\n")


def test_a_manifest_of_something_else_is_kept(source: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "out/manifest.jsonl"
    manifest.parent.mkdir()
    for content in (b'{"audio": "a.wav"}\n', b"", b"\xff\xfe\n"):
        manifest.write_bytes(content)
        result = batch(source, tmp_path / "out")
        assert result.exit_code == 1
        assert "manifest.jsonl: is no manifest of cotam batch: give another folder, or --ov" in result.output
        assert manifest.read_bytes() == content


def test_lines_of_a_manifest_that_are_none_are_passed_over(source: Path, tmp_path: Path) -> None:
    work = work_of(source, tmp_path / "out")
    run(work, here)
    manifest = tmp_path / "out/manifest.jsonl"
    lines = manifest.read_text().splitlines()
    changed = lines[1].replace('"images"', '"pictures"')
    manifest.write_text("\n".join([lines[0], changed, *lines[2:], '{"x": 1}']))
    assert run(work, here).images == 1
    assert manifest.read_text().splitlines() == lines


def test_another_guide_of_the_same_name_is_another_setting(source: Path, tmp_path: Path) -> None:
    guide = tmp_path / "guide.onnx"
    guide.write_bytes(energy_graph())
    assert batch(source / "a/1.jpg", tmp_path / "out", "--guide", guide).exit_code == 0
    guide.write_bytes(contrast_graph())
    result = batch(source / "a/1.jpg", tmp_path / "out", "--guide", guide)
    assert result.exit_code == 1
    assert "outputs there were made with guide file" in result.output


def test_settings_name_a_guide_only_where_one_is_used() -> None:
    assert "guide file" in Encoding({}).settings()
    assert "guide file" in Encoding({"guide": "none"}).settings()  # which finds pages
    assert "guide file" in Encoding({"profile": "base", "guide": "lite"}).settings()
    for options in ({"profile": "base"}, {"profile": "mllm", "guide": "none"}):
        assert "guide file" not in Encoding(options).settings()


def test_names_that_two_would_have(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name in ("1.jpg", "1.png", "2.png"):
        (source / name).write_bytes(PHOTOS[0])
    found = find_contents(work_of(source, tmp_path / "out"))
    units, refused = found.units, found.refused
    assert units == [Unit("1.jpg", "1.cotam"), Unit("2.png", "2.cotam")]
    assert [row.failed[0]["error"] for row in refused] == ["1.png: would be written to 1.cotam, as 1.jpg is"]


def test_a_target_within_the_source_is_no_input(tmp_path: Path) -> None:
    source = tmp_path / "src"
    tar_shard(source / "s.tar", {"1.jpg": PHOTOS[0]})
    tar_shard(source / "out/s.tar", {"2.jpg": PHOTOS[0]})
    assert find_contents(work_of(source, source / "out")).units == [Unit("s.tar", "s.tar")]
    with pytest.raises(InputError, match="outputs would lie among the inputs"):
        find_contents(work_of(source, source))


def test_files_that_no_run_wrote_are_not_replaced(source: Path, tmp_path: Path) -> None:
    """Such as the originals, when their coded images are decoded again."""
    (source / "a/broken.png").unlink()
    Image.open(source / "0.jpg").save(source / "0.png")
    (source / "0.jpg").unlink()
    assert batch(source, tmp_path / "coded", "-j", 1).exit_code == 0
    before = contents(source)
    result = batch(tmp_path / "coded", source, "--decode", "-j", 1)
    assert result.exit_code == 1
    end = "1 file there would be replaced, such as 0.png: give another folder, or --overwrite\n"
    assert result.output.endswith(f"{source}: {end}")
    assert contents(source) == before
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "notes.jsonl").write_text("mine")
    assert "such as notes.jsonl" in batch(tmp_path / "coded", lists, "--decode", "-j", 1).output
    assert (lists / "notes.jsonl").read_text() == "mine"
    (lists / "notes.jsonl").rename(lists / "other.jsonl")
    assert batch(tmp_path / "coded", lists, "--decode", "-j", 1).exit_code == 0
    assert batch(tmp_path / "coded", source, "--decode", "-j", 1, "--overwrite").exit_code == 0
    assert (source / "0.png").read_bytes() == (lists / "0.png").read_bytes()


def test_one_file_as_source(source: Path, tmp_path: Path) -> None:
    result = batch(source / "a/1.jpg", tmp_path / "out", "-j", 1)
    assert (result.exit_code, "note: 1 image in " in result.output) == (0, True)
    assert (tmp_path / "out/1.cotam").read_bytes() == CODED[1]


def test_wrong_usage(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = batch(tmp_path / "empty", tmp_path / "out")
    assert result.exit_code == 1
    assert "empty: nothing to convert: expected .apng, .avif, .bmp" in result.output
    assert "--quality is for encoding" in batch(source, tmp_path / "out", "--decode", "-q", 3).output
    assert "--view is for --decode" in batch(source, tmp_path / "out", "--view", "human").output
    result = batch(source, tmp_path / "out", "-q", 3, "--target-size", "1k")
    assert (result.exit_code, "exclude each other" in result.output) == (2, True)
    assert not (tmp_path / "out").exists()
    assert "the name of the output is empty" in batch(source, "").output  # such as of a variable in a script


def test_a_sequence_is_no_image(tmp_path: Path) -> None:
    frames = [(0, Image.new("RGB", (32, 32))), (1, Image.new("RGB", (32, 32), "red"))]
    (tmp_path / "src").mkdir()
    (tmp_path / "src/clip.cotam").write_bytes(b"".join(cotam.encode_frames(frames)))
    result = batch(tmp_path / "src", tmp_path / "out", "--decode")
    assert result.exit_code == 1
    (row,) = rows_of(tmp_path / "out/failures.jsonl")
    assert "it is a sequence of frames: cotam decode writes them all" in str(row)
    assert not (tmp_path / "out/clip.png").exists()
