"""Ask every question after every codec, with a JSON line for each answer, written as soon as it arrives.

A run can be interrupted and repeated: answered questions are not asked again, failed ones are.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING

from tqdm import tqdm

from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.sweep import ORIGINAL, Row, append, resumed
from cotam_lab.evaluate.backends import StoppedError
from cotam_lab.evaluate.inputs import Shown, shown
from cotam_lab.evaluate.questions import METRICS, Question, digest, prompt_of
from cotam_lab.evaluate.scores import score

if TYPE_CHECKING:
    from cotam_lab.evaluate.endpoint import Endpoint
    from cotam_lab.evaluate.local import Local

__all__ = ["Asking", "Query", "plan", "run"]

_GIVE_UP = 25


@dataclass(frozen=True)
class Asking:
    """How questions are asked; part of the key of a row.

    ``letters`` lists choices and asks for a letter, instead of comparing their likelihoods; ``max_tokens`` of
    an answer are the metric's if None.
    """

    letters: bool = True
    max_tokens: int | None = None


@dataclass(frozen=True)
class Query:
    """A question after a codec at a quality, or, without a codec, about the original image."""

    question: Question
    codec: Codec | None = None
    quality: int | None = None

    def head(self, model: str, asking: Asking) -> Row:
        """Return the key of its row, and the image's name."""
        name, version = (self.codec.name, self.codec.version) if self.codec else (ORIGINAL, None)
        one = self.question
        likely = one.metric == "choice" and not asking.letters
        tokens = 0 if likely else asking.max_tokens or METRICS[one.metric][1]
        prompt = prompt_of(one, letters=asking.letters)
        asked = digest([one.image, prompt, str(tokens), *(one.choices if likely else ())])
        head: Row = {"codec": name, "version": version, "quality": self.quality, "image": one.image}
        return head | {"question": one.id, "asked": asked, "model": model}


def plan(questions: Sequence[Question], ladders: Sequence[tuple[Codec | None, Sequence[int]]]) -> list[Query]:
    """List queries so that all about one image after one codec are adjacent."""
    by_image: dict[tuple[Path, str], list[Question]] = {}
    for question in questions:
        by_image.setdefault((question.folder, question.image), []).append(question)
    steps = [(codec, quality) for codec, listed in ladders for quality in (listed if codec else (None,))]
    return [
        Query(question, codec, quality)
        for group in by_image.values()
        for codec, quality in steps
        for question in group
    ]


def run(
    file: Path, wanted: Sequence[Query], backend: Endpoint | Local, asking: Asking, *, jobs: int = 1
) -> list[Row]:
    """Ask what a file of rows has no answer to, and append the rows.

    A failure leaves a row with ``error`` and without ``answer``, and is asked again by the next run. The last
    line of a key counts. One run at a time, ``jobs`` questions at a time. Returns the rows of the wanted
    queries, in their order, all scored anew.

    Raises
    ------
    InputError
        If a line of the file is not a row.
    StoppedError
        If the model is not available, refuses all questions, or many fail one after another.
    """
    old = resumed(file)
    if not backend.name:  # only the server knows it, and it is part of the key
        backend.prepare()
    heads = [query.head(backend.name, asking) for query in wanted]
    done = {_key(row): row for row in old if "error" not in row}
    missing = [(query, head) for query, head in zip(wanted, heads, strict=True) if _key(head) not in done]
    if missing:
        backend.prepare()
    bar = tqdm(total=len(wanted), initial=len(wanted) - len(missing), desc=file.parent.name, disable=None)
    with bar, closing(_answered(missing, backend, asking, jobs)) as rows:
        failures = 0
        for row in rows:
            append(file, row)
            done[_key(row)] = row
            bar.update()
            failures = failures + 1 if "error" in row else 0
            if failures == _GIVE_UP:
                raise StoppedError(f"{failures} questions failed in a row, the last with {row['error']}")
    found = [done[_key(head)] for head in heads]
    return [_scored(query, row) for query, row in zip(wanted, found, strict=True)]


def _answered(
    missing: Sequence[tuple[Query, Row]], backend: Endpoint | Local, asking: Asking, jobs: int
) -> Generator[Row, None, None]:
    if jobs == 1:
        for query, head in missing:
            yield _row(query, head, backend, asking)
        return
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_row, query, head, backend, asking) for query, head in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _row(query: Query, head: Row, backend: Endpoint | Local, asking: Asking) -> Row:
    try:
        seen = shown(query.question, query.codec, query.quality)
        start = time.perf_counter()
        reply = _reply(query.question, backend, seen, asking)
        seconds = time.perf_counter() - start
    except StoppedError:
        raise
    except Exception as error:  # codecs and models fail in ways of their own; the run continues
        return head | {"error": f"{type(error).__name__}: {error}"}
    row = head | {"bytes": seen.bytes, "bpp": 8 * seen.bytes / seen.pixels, "codec_s": seen.seconds}
    return _scored(query, row | {"model_s": seconds} | reply)


def _reply(question: Question, backend: Endpoint | Local, seen: Shown, asking: Asking) -> Row:
    prompt = prompt_of(question, letters=asking.letters)
    if question.metric == "choice" and not asking.letters:
        losses, length = backend.losses(seen.images, prompt, question.choices, seen.coded)
        best = ascii_uppercase[losses.index(min(losses))]
        return {"answer": best, "losses": losses, "prompt_tokens": length, "completion_tokens": 0}
    tokens = asking.max_tokens or METRICS[question.metric][1]
    reply = backend.ask(seen.images, prompt, tokens, seen.coded)
    counts = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    return {"answer": reply.text} | counts


def _scored(query: Query, row: Row) -> Row:
    if "error" in row:
        return row
    scored = score(query.question, row["answer"])
    return row | {"score": scored.value, "said": scored.said}


def _key(row: Row) -> tuple[object, ...]:
    return tuple(row.get(key) for key in ("codec", "version", "quality", "question", "asked", "model"))
