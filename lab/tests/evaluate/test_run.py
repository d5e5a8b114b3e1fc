"""Every question is asked once after every codec, also when the run is killed, and failures do not stay."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway_servers import running
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from synthetic import picture

from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench import baselines
from cotam_lab.evaluate.backends import Coded, Reply, StoppedError
from cotam_lab.evaluate.endpoint import Endpoint
from cotam_lab.evaluate.questions import Question, read_questions
from cotam_lab.evaluate.run import Asking, Row, plan, run


class Answering:
    """A model that says the colour of the corner, and keeps all that it is asked."""

    def __init__(self) -> None:
        self.name = "corner"
        self.asked: list[tuple[str, str]] = []
        self.broken: set[str] = set()

    def prepare(self) -> None:
        """Nothing to load."""

    def ask(
        self, images: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
    ) -> Reply:
        self.asked.append((prompt, hashlib.sha256(b"".join(p.tobytes() for p in images)).hexdigest()))
        if any(word in prompt for word in self.broken):
            raise RuntimeError("out of memory")
        return Reply(" ".join(map(str, images[0][0, 0])), 7, 3)

    def losses(
        self, images: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        return [float(len(choice)) for choice in choices], 9


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    """Three about two pictures."""
    for number in range(2):
        Image.fromarray(picture(48, 64, number)).save(tmp_path / f"{number}.png")
    values = [
        {"id": "a", "image": "0.png", "question": "First?", "answers": ["1"], "metric": "exact"},
        {"id": "b", "image": "1.png", "question": "Second?", "answers": ["1"], "metric": "exact"},
        {
            "id": "c",
            "image": "0.png",
            "question": "Third?",
            "answers": ["A"],
            "metric": "choice",
            "choices": ["x", "four"],
        },
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, values)))
    return read_questions(file)


def ladders(*qualities: int) -> list[tuple[baselines.Codec | None, Sequence[int]]]:
    return [(None, ()), (baselines.codec("jpeg"), qualities)]


def done(
    tmp_path: Path, questions: list[Question], model: Any, asking: Asking | None = None, jobs: int = 1
) -> list[Row]:
    wanted = plan(questions, ladders(10, 60))
    return run(tmp_path / "rows.jsonl", wanted, model, asking or Asking(), jobs=jobs)


def test_rows_say_what_was_sent_and_answered(tmp_path: Path, questions: list[Question]) -> None:
    model = Answering()
    rows = done(tmp_path, questions, model)
    order = [(row["question"], row["codec"], row["quality"]) for row in rows]
    assert order == [
        ("a", "original", None),
        ("c", "original", None),
        ("a", "jpeg", 10),
        ("c", "jpeg", 10),
        ("a", "jpeg", 60),
        ("c", "jpeg", 60),
        ("b", "original", None),
        ("b", "jpeg", 10),
        ("b", "jpeg", 60),
    ]
    pixels = to_rgb(tmp_path / "0.png")
    codec = baselines.codec("jpeg")
    data = codec.encode(pixels, 10)
    jpeg = rows[2]
    assert jpeg["bytes"] == len(data)
    assert jpeg["bpp"] == pytest.approx(8 * len(data) / (48 * 64))
    assert jpeg["answer"] == " ".join(map(str, codec.decode(data)[0, 0]))
    assert (jpeg["prompt_tokens"], jpeg["completion_tokens"], jpeg["model"]) == (7, 3, "corner")
    assert model.asked[2][1] == hashlib.sha256(codec.decode(data).tobytes()).hexdigest()
    assert rows[0]["bytes"] == (tmp_path / "0.png").stat().st_size
    assert model.asked[0][1] == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_a_second_run_asks_nothing_and_says_the_same(tmp_path: Path, questions: list[Question]) -> None:
    first = done(tmp_path, questions, Answering())
    model = Answering()
    assert done(tmp_path, questions, model) == first
    assert not model.asked


def test_scores_follow_the_right_answers_without_asking(tmp_path: Path, questions: list[Question]) -> None:
    rows = done(tmp_path, questions, Answering())
    corrected = [
        Question(**(vars(one) | {"answers": (rows[0]["answer"],)})) if one.id == "a" else one
        for one in questions
    ]
    model = Answering()
    again = done(tmp_path, corrected, model)
    assert not model.asked
    assert (rows[0]["score"], again[0]["score"]) == (0.0, 1.0)


@pytest.mark.parametrize(("asking", "asked"), [(Asking(max_tokens=5), 9), (Asking(letters=False), 0)])
def test_what_changes_an_answer_is_asked_anew(
    tmp_path: Path, questions: list[Question], asking: Asking, asked: int
) -> None:
    done(tmp_path, questions, Answering())
    model = Answering()
    rows = done(tmp_path, questions, model, asking)
    assert len(model.asked) == asked  # by likelihood only the choice changes, which is not put as text
    if not asking.letters:
        chosen = [row for row in rows if row["question"] == "c"]
        assert all(
            row["losses"] == [1.0, 4.0] and row["answer"] == "A" and row["score"] == 1 for row in chosen
        )


def test_what_fails_is_a_row_and_is_asked_again(tmp_path: Path, questions: list[Question]) -> None:
    broken = Answering()
    broken.broken = {"Second?"}
    rows = done(tmp_path, questions, broken)
    failed = [row for row in rows if "error" in row]
    assert [row["question"] for row in failed] == ["b"] * 3
    assert {row["error"] for row in failed} == {"RuntimeError: out of memory"}
    whole = Answering()
    again = done(tmp_path, questions, whole)
    assert len(whole.asked) == 3
    assert not any("error" in row for row in again)


def test_a_model_that_refuses_ends_the_run_and_what_was_answered_stays(
    tmp_path: Path, questions: list[Question]
) -> None:
    class Refusing(Answering):
        def ask(
            self, images: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
        ) -> Reply:
            if len(self.asked) == 4:
                raise StoppedError("401")
            return super().ask(images, prompt, max_tokens)

    with pytest.raises(StoppedError):
        done(tmp_path, questions, Refusing())
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 4
    whole = Answering()
    done(tmp_path, questions, whole)
    assert len(whole.asked) == 5


def test_a_model_that_fails_on_everything_is_given_up(tmp_path: Path, questions: list[Question]) -> None:
    many = [Question(**(vars(questions[0]) | {"id": str(number)})) for number in range(40)]
    broken = Answering()
    broken.broken = {"First?"}
    with pytest.raises(StoppedError, match="25 questions failed in a row, the last with RuntimeError"):
        done(tmp_path, many, broken)
    assert len(broken.asked) == 25
    rows = done(tmp_path, many, Answering())
    assert len(rows) == 120
    assert not any("error" in row for row in rows)


class Counting:
    """A real server that counts what it was asked.

    It answers nothing before ``together`` requests were there at once, and only ``answers`` requests before
    it is ``released``.
    """

    def __init__(self, together: int = 1, answers: int | None = None) -> None:
        self.together, self.answers = together, answers
        self.all_there, self.released = threading.Event(), threading.Event()
        self.asked: list[str] = []
        self.at_once = self.most = self.came = 0
        self._lock = threading.Lock()
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/models", self._models),
        ]
        self.app = Starlette(routes=routes)

    async def _chat(self, request: Request) -> Response:
        import asyncio

        body = await request.body()
        with self._lock:
            self.came += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            held = self.answers is not None and self.came > self.answers
        if self.most >= self.together:
            self.all_there.set()
        await asyncio.to_thread(self.all_there.wait, 60)
        if held:
            await asyncio.to_thread(self.released.wait, 300)
        self.at_once -= 1
        *_, last = json.loads(body)["messages"][0]["content"]
        self.asked.append(hashlib.sha256(body).hexdigest())
        answer = {"role": "assistant", "content": f"{last['text'][:3]} {len(body)}"}
        return JSONResponse({"choices": [{"message": answer}]})

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": "counter"}]})


def test_jobs_are_at_the_same_time_and_change_nothing(tmp_path: Path, questions: list[Question]) -> None:
    one, several = Counting(), Counting(together=4)
    rows = []
    for server, jobs in ((one, 1), (several, 4)):
        with running(server.app) as address, closing(Endpoint(f"{address}/v1")) as endpoint:
            rows.append(done(tmp_path / str(jobs), questions, endpoint, jobs=jobs))
    assert one.most == 1
    assert several.most == 4
    answers = [[(row["question"], row["quality"], row["answer"]) for row in found] for found in rows]
    assert answers[0] == answers[1]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None  # a server has them: they take long to load
from cotam.cli.main import main
main(prog_name="cotam")
"""


def test_a_killed_run_goes_on_and_loses_and_repeats_nothing(
    tmp_path: Path, questions: list[Question]
) -> None:
    server = Counting(answers=5)
    rows = tmp_path / "out" / "rows.jsonl"
    with running(server.app) as address:
        command = [sys.executable, "-c", WITHOUT_TORCH, "eval", str(tmp_path / "questions.jsonl")]
        command += ["-o", str(rows.parent), "--endpoint", f"{address}/v1", "-j", "1"]
        command += ["--codec", "none", "--codec", "jpeg@10,60"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ) as program:
            while not rows.exists() or rows.read_bytes().count(b"\n") < 3:
                assert program.poll() is None
                time.sleep(0.01)
            program.kill()
        server.released.set()
        answered = rows.read_bytes().count(b"\n")
        assert 3 <= answered < 9
        # Of the question that was under way nobody has the answer; it alone may be asked again.
        before = len(server.asked)
        assert before <= answered + 1
        second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    keys = [(row["question"], row["codec"], row["quality"]) for row in found]
    assert len(keys) == len(set(keys)) == 9
    assert len(set(server.asked)) == 9
    assert len(server.asked) - 9 <= 1
