"""One sweep: codec × quality × picture, judged; a line of JSON for each as soon as it is done.

A sweep may be stopped at any moment and run again: what is in its file is not done a second time, and a
line that was cut short is done anew.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cotam.errors import InputError
from cotam.image.baselines import Codec
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.pictures import Picture
from cotam_lab.metrics.pictures import Judge

__all__ = ["ORIGINAL", "Row", "Task", "measure", "read_rows", "repair", "sweep", "tasks"]

Row = dict[str, Any]
"""``codec``, ``version``, ``quality``, ``image``, ``width``, ``height``; then ``bytes``, ``bpp``,
``encode_s``, ``decode_s`` and the values of the judges. ``error`` says that a judge failed, whose values are
None then, or that the codec did: then none of these is there."""

ORIGINAL = "original"


@dataclass(frozen=True)
class Task:
    """One row to be made: a picture through a codec at a quality, or, without a codec, as it is."""

    picture: Picture
    codec: Codec | None = None
    quality: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells its row from all others; a new version of a codec makes a new row."""
        if self.codec is None:
            return ORIGINAL, None, None, self.picture.name
        return self.codec.name, self.codec.version, self.quality, self.picture.name


def tasks(
    pictures: Iterable[Picture], ladders: Sequence[tuple[Codec, Sequence[int]]], *, originals: bool = False
) -> list[Task]:
    """List a sweep picture by picture.

    Parameters
    ----------
    pictures : iterable of Picture
    ladders : sequence of (Codec, qualities)
    originals : bool
        Also judge the pictures as they are; the bytes of these rows are those of the picture's file.
    """
    found: list[Task] = []
    for picture in pictures:
        if originals:
            found.append(Task(picture))
        found += [Task(picture, codec, quality) for codec, qualities in ladders for quality in qualities]
    return found


def sweep(file: Path, wanted: Sequence[Task], judges: Sequence[Judge], *, jobs: int = 1) -> list[Row]:
    """Do the tasks that a file of rows does not have yet, and append their rows.

    Rows are appended as they finish, so with several jobs their order is not that of the tasks. A codec or a
    judge that fails on a picture leaves a row with ``error``, which is not tried again before its line is
    deleted. The last line of a row counts.

    Parameters
    ----------
    file : Path
        JSONL, made if it is not there. A last line without its end is cut off. One sweep at a time.
    wanted : sequence of Task
    judges : sequence of Judge
        Where a row lacks the values of some, those judge anew, and the new row has the old values too.
    jobs : int
        Processes. Times in the rows are wall-clock times in the company of the other jobs: measure speed
        with `cotam_lab.bench.speed` instead.

    Returns
    -------
    list of Row
        Those of the wanted tasks, in their order, old and new.

    Raises
    ------
    InputError
        If a line of the file, other than a torn last one, is not a row, or a judge cannot be loaded.
    MissingExtraError
        If a package that a judge needs is not installed.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    repair(file)
    done = {_key(row): row for row in read_rows(file)}
    missing = [(task, lacking) for task in wanted if (lacking := _lacking(done.get(task.key), judges))]
    for judge in judges if missing else ():
        judge.prepare()
    with file.open("a", encoding="utf-8") as sink:
        bar = tqdm(total=len(wanted), initial=len(wanted) - len(missing), desc=file.parent.name, disable=None)
        with bar:
            for row in _measured(missing, jobs):
                row = done.get(_key(row), {}) | row
                sink.write(json.dumps(row, allow_nan=False) + "\n")
                sink.flush()
                done[_key(row)] = row
                bar.update()
    return [done[task.key] for task in wanted]


def measure(task: Task, judges: Sequence[Judge]) -> Row:
    """Make the row of a task.

    Raises
    ------
    InputError
        If the picture cannot be read.
    """
    picture = to_rgb(task.picture.path)
    height, width = picture.shape[:2]
    name, version, quality, image = task.key
    row: Row = {"codec": name, "version": version, "quality": quality, "image": image}
    row |= {"width": width, "height": height}
    if task.codec is None or task.quality is None:
        decoded = picture
        coded = {"bytes": task.picture.path.stat().st_size, "encode_s": 0.0, "decode_s": 0.0}
    else:
        try:
            decoded, coded = _through(task.codec, task.quality, picture)
        except Exception as error:  # a codec may fail in any way of its own; the sweep goes on and says so
            return row | {"error": f"{type(error).__name__}: {error}"}
    row |= coded | {"bpp": 8 * coded["bytes"] / (width * height)}
    errors = []
    for judge in judges:
        try:
            row |= _judged(judge, picture, decoded, task.picture.texts)
        except Exception as error:  # nor is one judge's failure, on one picture, the end of a sweep
            row |= dict.fromkeys(judge.keys)
            errors.append(f"judge {judge.name}: {type(error).__name__}: {error}")
    return row | ({"error": "; ".join(errors)} if errors else {})


def read_rows(file: Path) -> list[Row]:
    """Read the rows of a file, none if it is not there.

    Raises
    ------
    InputError
        If a line is not a row.
    """
    if not file.exists():
        return []
    rows = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        row = _parsed(line)
        if row is None:
            raise InputError(f"{file}, line {number} is not a row: delete it to have it measured again")
        rows.append(row)
    return rows


def _through(codec: Codec, quality: int, picture: Pixels) -> tuple[Pixels, dict[str, Any]]:
    start = time.perf_counter()
    data = codec.encode(picture, quality)
    middle = time.perf_counter()
    decoded = codec.decode(data)
    end = time.perf_counter()
    if decoded.shape != picture.shape:
        raise InputError(f"a picture of {picture.shape} came back as {decoded.shape}")
    return decoded, {"bytes": len(data), "encode_s": middle - start, "decode_s": end - middle}


def _judged(judge: Judge, picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    scores = judge.score(picture, decoded, texts)
    for key, value in scores.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{key} is {value}")
    return scores


def _measured(missing: Sequence[tuple[Task, Sequence[Judge]]], jobs: int) -> Iterator[Row]:
    if jobs == 1:
        for task, judges in missing:
            yield measure(task, judges)
        return
    # Spawned, not forked: judges and codecs have threads of their own, which a fork would leave locked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
        futures = [pool.submit(measure, task, judges) for task, judges in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let a worker end when the sweep is killed: it would wait for more work for ever."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _key(row: Row) -> tuple[Any, ...]:
    return row["codec"], row["version"], row["quality"], row["image"]


def _lacking(row: Row | None, judges: Sequence[Judge]) -> list[Judge]:
    """Those who have not yet judged a row; none where the codec failed."""
    if row is None:
        return list(judges)
    failed = "error" in row and "bytes" not in row
    return [judge for judge in judges if not failed and any(key not in row for key in judge.keys)]


def _parsed(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    needed = ("codec", "version", "quality", "image")
    return row if isinstance(row, dict) and all(key in row for key in needed) else None


def repair(file: Path) -> None:
    """Cut off a last line that a stopped process left unfinished; end it where only its end is missing."""
    if not file.exists():
        return
    data = file.read_bytes()
    end = data.rfind(b"\n") + 1
    if end == len(data):
        return
    if _parsed(data[end:].decode("utf-8", "replace")) is not None:
        with file.open("ab") as sink:
            sink.write(b"\n")
    else:
        os.truncate(file, end)
