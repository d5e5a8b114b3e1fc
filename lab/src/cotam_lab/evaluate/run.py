"""Ask every question after every codec; a line of JSON for each answer as soon as it is there.

A run may be stopped at any moment and run again: what was answered is not asked again, what failed is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from tqdm import tqdm

from cotam.image.baselines import Codec
from cotam_lab.bench.sweep import ORIGINAL, Row, read_rows, repair
from cotam_lab.evaluate.backends import Backend, StoppedError
from cotam_lab.evaluate.questions import METRICS, Question, digest, prompt_of
from cotam_lab.evaluate.scores import Scorer
from cotam_lab.evaluate.shown import Shown, shown

__all__ = ["How", "Task", "run", "tasks"]

_GIVE_UP = 25


@dataclass(frozen=True)
class How:
    """How questions are put; what changes an answer is part of the key of its row.

    Attributes
    ----------
    letters : bool
        Choices are listed and a letter is asked for; else their likelihoods are compared.
    instructions : bool
        Whether anything is said after a question.
    max_tokens : int or None
        Of an answer; as the metric has it if None.
    frames : int
        Of a video.
    """

    letters: bool = True
    instructions: bool = True
    max_tokens: int | None = None
    frames: int = 8


@dataclass(frozen=True)
class Task:
    """One question after a codec at a quality, or, without a codec, about the picture as it is."""

    question: Question
    codec: Codec | None = None
    quality: int | None = None

    def head(self, model: str, how: How) -> Row:
        """What tells its row from all others, and the picture's name."""
        name, version = (self.codec.name, self.codec.version) if self.codec else (ORIGINAL, None)
        one = self.question
        prompt = prompt_of(one, letters=how.letters, instructions=how.instructions)
        likely = one.metric == "choice" and not how.letters
        tokens = 0 if likely else how.max_tokens or METRICS[one.metric][1]
        asked = digest([one.picture, prompt, str(tokens), *(one.choices if likely else ())])
        if one.video is not None:
            asked = digest([asked, str(how.frames)])
        head: Row = {"codec": name, "version": version, "quality": self.quality, "image": one.picture}
        return head | {"question": one.id, "asked": asked, "model": model}


def tasks(questions: Sequence[Question], ladders: Sequence[tuple[Codec | None, Sequence[int]]]) -> list[Task]:
    """List what is to be asked, so that all about one picture after one codec comes together."""
    by_picture: dict[tuple[Path, str], list[Question]] = {}
    for question in questions:
        by_picture.setdefault((question.folder, question.picture), []).append(question)
    steps = [(codec, quality) for codec, listed in ladders for quality in (listed if codec else (None,))]
    return [
        Task(question, codec, quality)
        for group in by_picture.values()
        for codec, quality in steps
        for question in group
    ]


def run(
    file: Path, wanted: Sequence[Task], backend: Backend, scorer: Scorer, how: How, *, jobs: int = 1
) -> list[Row]:
    """Ask what a file of rows has no answer to, and append the rows.

    What fails leaves a row with ``error`` and without ``answer``, and is asked again by the next run. The
    last line of a row counts. One run at a time.

    Parameters
    ----------
    file : Path
        JSONL, made if it is not there. A last line without its end is cut off.
    wanted : sequence of Task
    backend : Backend
    scorer : Scorer
    how : How
    jobs : int
        Questions at a time, in threads.

    Returns
    -------
    list of dict
        Rows of the wanted tasks, in their order, old and new, all scored anew.

    Raises
    ------
    InputError
        If a line of the file, other than a torn last one, is not a row.
    StoppedError
        If the model is not there, or refuses all questions, or many fail one after another.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    repair(file)
    old = read_rows(file)
    if not backend.name:  # only the server knows, and the name is part of the key
        backend.prepare()
    heads = [task.head(backend.name, how) for task in wanted]
    done = {_key(row): row for row in old if "error" not in row}
    missing = [(task, head) for task, head in zip(wanted, heads, strict=True) if _key(head) not in done]
    if missing:
        backend.prepare()
    bar = tqdm(total=len(wanted), initial=len(wanted) - len(missing), desc=file.parent.name, disable=None)
    with (
        file.open("a", encoding="utf-8") as sink,
        bar,
        closing(_answered(missing, backend, scorer, how, jobs)) as rows,
    ):
        failures = 0
        for row in rows:
            sink.write(json.dumps(row, allow_nan=False) + "\n")
            sink.flush()
            done[_key(row)] = row
            bar.update()
            failures = failures + 1 if "error" in row else 0
            if failures == _GIVE_UP:
                raise StoppedError(
                    f"{failures} questions failed one after another, the last by {row['error']}"
                )
    found = [done[_key(head)] for head in heads]
    return [_scored(task, row, scorer) for task, row in zip(wanted, found, strict=True)]


def _answered(
    missing: Sequence[tuple[Task, Row]], backend: Backend, scorer: Scorer, how: How, jobs: int
) -> Generator[Row, None, None]:
    if jobs == 1:
        for task, head in missing:
            yield _row(task, head, backend, scorer, how)
        return
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_row, task, head, backend, scorer, how) for task, head in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _row(task: Task, head: Row, backend: Backend, scorer: Scorer, how: How) -> Row:
    question = task.question
    try:
        seen = shown(question, task.codec, task.quality, frames=how.frames)
        start = time.perf_counter()
        reply = _reply(question, backend, seen, how)
        seconds = time.perf_counter() - start
    except StoppedError:
        raise
    except Exception as error:  # codecs and models fail in ways of their own; the run goes on and says so
        return head | {"error": f"{type(error).__name__}: {error}"}
    row = head | {"bytes": seen.bytes, "bpp": 8 * seen.bytes / seen.pixels, "codec_s": seen.seconds}
    return _scored(task, row | {"model_s": seconds} | reply, scorer)


def _reply(question: Question, backend: Backend, seen: Shown, how: How) -> Row:
    prompt = prompt_of(question, letters=how.letters, instructions=how.instructions)
    if question.metric == "choice" and not how.letters:
        losses, length = backend.losses(seen.pictures, prompt, question.choices, seen.coded)
        best = ascii_uppercase[losses.index(min(losses))]
        return {"answer": best, "losses": losses, "prompt_tokens": length, "completion_tokens": 0}
    tokens = how.max_tokens or METRICS[question.metric][1]
    reply = backend.ask(seen.pictures, prompt, tokens, seen.coded)
    counts = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    return {"answer": reply.text} | counts


def _scored(task: Task, row: Row, scorer: Scorer) -> Row:
    if "error" in row:
        return row
    scored = scorer.score(task.question, row["answer"])
    return row | {"score": scored.value, "said": scored.said}


def _key(row: Row) -> tuple[object, ...]:
    return tuple(row.get(key) for key in ("codec", "version", "quality", "question", "asked", "model"))
