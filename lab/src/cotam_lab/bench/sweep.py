"""Measure codec × quality × image, with a JSON line for each, written as soon as it is done.

A sweep can be interrupted at any time and run again: it continues after the last complete line.
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
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.images import Sample
from cotam_lab.metrics.base import Metric

__all__ = ["ORIGINAL", "Job", "Row", "Rows", "append", "measure", "plan", "read_rows", "resumed", "sweep"]

Row = dict[str, Any]
"""``codec``, ``version``, ``quality``, ``image``, ``width``, ``height``; then ``bytes``, ``bpp``,
``encode_s``, ``decode_s`` and scores. ``error`` without ``bytes``: the codec failed; with ``bytes``: a metric
did, and its scores are None."""

Rows = Sequence[Row]
ORIGINAL = "original"


@dataclass(frozen=True)
class Job:
    """One row to measure: an image through a codec at a quality, or, without a codec, as it is."""

    sample: Sample
    codec: Codec | None = None
    quality: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Identifies the row; a new version of a codec makes a new row."""
        if self.codec is None:
            return ORIGINAL, None, None, self.sample.name
        return self.codec.name, self.codec.version, self.quality, self.sample.name


def plan(
    samples: Iterable[Sample], ladders: Sequence[tuple[Codec, Sequence[int]]], *, originals: bool = False
) -> list[Job]:
    """List the jobs of a sweep, image by image.

    ``originals`` adds a row for each unmodified image; its bytes are those of its file.
    """
    found: list[Job] = []
    for sample in samples:
        if originals:
            found.append(Job(sample))
        found += [Job(sample, codec, quality) for codec, qualities in ladders for quality in qualities]
    return found


def sweep(file: Path, wanted: Sequence[Job], metrics: Sequence[Metric], *, jobs: int = 1) -> list[Row]:
    """Measure what a file of rows does not have yet, and append it.

    With several processes the order of new rows varies. A codec or a metric that fails on an image leaves a
    row with ``error``, which is not tried again until its line is deleted. The last line of a key counts.

    Parameters
    ----------
    file : JSON lines; created if missing. An incomplete last line is cut off. One sweep at a time.
    metrics : scores that a row lacks are computed and added to it
    jobs : processes. Times are wall-clock times with all of them running: `cotam bench speed` measures speed.

    Returns the rows of the wanted jobs, in their order. Raises InputError if a line of the file is not a row,
    or a metric's model cannot be loaded.
    """
    done = {_key(row): row for row in resumed(file)}
    missing = [(job, lacking) for job in wanted if (lacking := _lacking(done.get(job.key), metrics))]
    for metric in metrics if missing else ():
        metric.prepare()
    with tqdm(
        total=len(wanted), initial=len(wanted) - len(missing), desc=file.parent.name, disable=None
    ) as bar:
        for row in _measured(missing, jobs):
            row = done.get(_key(row), {}) | row
            append(file, row)
            done[_key(row)] = row
            bar.update()
    return [done[job.key] for job in wanted]


def measure(job: Job, metrics: Sequence[Metric]) -> Row:
    """Make the row of a job.

    Raises InputError if the image cannot be read.
    """
    original = to_rgb(job.sample.path)
    height, width = original.shape[:2]
    name, version, quality, image = job.key
    row: Row = {"codec": name, "version": version, "quality": quality, "image": image}
    row |= {"width": width, "height": height}
    if job.codec is None or job.quality is None:
        decoded = original
        coded = {"bytes": job.sample.path.stat().st_size, "encode_s": 0.0, "decode_s": 0.0}
    else:
        try:
            decoded, coded = _round_trip(job.codec, job.quality, original)
        except Exception as error:  # a codec can fail in any way; the sweep continues and records it
            return row | {"error": f"{type(error).__name__}: {error}"}
    row |= coded | {"bpp": 8 * coded["bytes"] / (width * height)}
    errors = []
    for metric in metrics:
        try:
            row |= _scores(metric, original, decoded, job.sample.texts)
        except Exception as error:  # so can a metric
            row |= dict.fromkeys(metric.keys)
            errors.append(f"metric {metric.name}: {type(error).__name__}: {error}")
    return row | ({"error": "; ".join(errors)} if errors else {})


def read_rows(file: Path) -> list[Row]:
    """Read the rows of a file; none if it does not exist.

    Raises InputError if a line is not a row.
    """
    if not file.exists():
        return []
    rows = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        row = _parsed(line)
        if row is None:
            raise InputError(f"{file}, line {number} is not a row: delete it to measure it again")
        rows.append(row)
    return rows


def resumed(file: Path) -> list[Row]:
    """Read the rows of a file to continue it: cut off an incomplete last line, and make the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = file.read_bytes() if file.exists() else b""
    end = data.rfind(b"\n") + 1
    if end < len(data):
        if _parsed(data[end:].decode("utf-8", "replace")) is not None:
            with file.open("ab") as sink:
                sink.write(b"\n")
        else:
            os.truncate(file, end)
    return read_rows(file)


def append(file: Path, row: Row) -> None:
    """Append a row to a file."""
    with file.open("a", encoding="utf-8") as sink:
        sink.write(json.dumps(row, allow_nan=False) + "\n")


def _round_trip(codec: Codec, quality: int, original: Pixels) -> tuple[Pixels, dict[str, Any]]:
    start = time.perf_counter()
    data = codec.encode(original, quality)
    middle = time.perf_counter()
    decoded = codec.decode(data)
    end = time.perf_counter()
    if decoded.shape != original.shape:
        raise InputError(f"an image of {original.shape} was decoded as {decoded.shape}")
    return decoded, {"bytes": len(data), "encode_s": middle - start, "decode_s": end - middle}


def _scores(
    metric: Metric, original: Pixels, decoded: Pixels, texts: Sequence[str]
) -> dict[str, float | None]:
    scores = metric.score(original, decoded, texts)
    for key, value in scores.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{key} is {value}")
    return scores


def _measured(missing: Sequence[tuple[Job, Sequence[Metric]]], jobs: int) -> Iterator[Row]:
    if jobs == 1:
        for job, metrics in missing:
            yield measure(job, metrics)
        return
    # Spawned: a fork would leave the locks of the libraries' threads held.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
        futures = [pool.submit(measure, job, metrics) for job, metrics in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Exit the worker when the sweep is killed; otherwise it would wait for work forever."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _key(row: Row) -> tuple[Any, ...]:
    return row["codec"], row["version"], row["quality"], row["image"]


def _lacking(row: Row | None, metrics: Sequence[Metric]) -> list[Metric]:
    """Return the metrics whose scores a row lacks; none where the codec failed."""
    if row is None:
        return list(metrics)
    failed = "error" in row and "bytes" not in row
    return [metric for metric in metrics if not failed and any(key not in row for key in metric.keys)]


def _parsed(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    needed = ("codec", "version", "quality", "image")
    return row if isinstance(row, dict) and all(key in row for key in needed) else None
