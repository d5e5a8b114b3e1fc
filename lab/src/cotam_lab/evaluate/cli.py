"""``cotam eval``: ask a model about pictures after each codec, and make question files of benchmarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from cotam.errors import InputError
from cotam.files import write_whole
from cotam.image import baselines
from cotam.image.baselines import NAMES
from cotam_lab.bench import report
from cotam_lab.bench.cli import checked, errors_shown
from cotam_lab.bench.cli import ladder as codec_ladder
from cotam_lab.evaluate.backends import Backend
from cotam_lab.evaluate.importers import IMPORTERS, import_questions
from cotam_lab.evaluate.local import DTYPES, Local
from cotam_lab.evaluate.questions import Question, as_line, parse_questions, read_questions
from cotam_lab.evaluate.run import How, run, tasks
from cotam_lab.evaluate.scores import Scorer
from cotam_lab.evaluate.shown import with_tokens
from cotam_lab.evaluate.summary import by_picture, summarise

__all__ = ["main"]

NONE = "none"


class _Program(click.Group):
    """``cotam eval QUESTIONS …`` is ``cotam eval ask QUESTIONS …``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["ask", *args]
        return super().parse_args(ctx, args)


@click.group("eval", cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Ask a multimodal LLM about pictures after each codec.

    cotam eval QUESTIONS … is short for cotam eval ask QUESTIONS …
    """


def _ladder(spec: str) -> tuple[str, tuple[int, ...]]:
    return (NONE, ()) if spec == NONE else codec_ladder(spec)


@main.command()
@click.argument("questions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for rows.jsonl, summary.md, summary.json and curves.",
)
@click.option(
    "--model",
    help="Of transformers, by hub name or folder; reference, or the file that its training wrote, is our own "
    "(lab/docs/reference_mllm.md); with --endpoint, as the server names it.",
)
@click.option("--endpoint", metavar="URL", help="OpenAI-compatible server, such as http://localhost:8000/v1.")
@click.option(
    "--codec",
    "ladders",
    metavar="SPEC[@Q,…]",
    multiple=True,
    required=True,
    callback=checked(_ladder),
    help=f"none, for the pictures as they are; {', '.join(NAMES)}, or cotam:OPTION=VALUE,…; one quality may "
    "be an option: jpeg:q=20. The codec's own five for text if none are given.  [repeatable]",
)
@click.option(
    "--choices",
    type=click.Choice(["letter", "likelihood"]),
    help="Ask for the letter of a choice, or take the most likely text.  [default: likelihood, letter with "
    "--endpoint]",
)
@click.option(
    "--tokens",
    "adapter",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A token adapter for the model's vision encoder (docs/mllm.md): codecs that make files of its "
    "weight set are measured with its tokens, too.",
)
@click.option("--no-instructions", is_flag=True, help="Say nothing after the questions.")
@click.option("--max-tokens", type=click.IntRange(1), help="Of an answer; by the metric if not given.")
@click.option("--frames", type=click.IntRange(1), default=8, show_default=True, help="Of a video.")
@click.option(
    "--limit", type=click.IntRange(1), help="Take so many questions, drawn at random, the same each time."
)
@click.option(
    "--group", "groups", metavar="NAME", multiple=True, help="Ask those of this group alone.  [repeatable]"
)
@click.option("--reference", metavar="SPEC", help="What is compared with; the first codec if not given.")
@click.option(
    "--dtype", type=click.Choice(DTYPES), default="auto", show_default=True, help="Of a local model."
)
@click.option("--device", help="Of a local model, as torch names it; a GPU if there is one.")
@click.option(
    "--key-env",
    metavar="NAME",
    default="OPENAI_API_KEY",
    show_default=True,
    help="Environment variable with the key of an endpoint.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Questions to an endpoint at a time.",
)
@click.option("--retries", type=click.IntRange(0), default=6, show_default=True, help="Of an endpoint.")
@click.option(
    "--timeout", type=float, default=300.0, show_default=True, help="Seconds for an endpoint's answer."
)
@errors_shown
def ask(
    questions: Path,
    out: Path,
    model: str | None,
    endpoint: str | None,
    ladders: tuple[tuple[str, tuple[int, ...]], ...],
    choices: str | None,
    adapter: Path | None,
    no_instructions: bool,
    max_tokens: int | None,
    frames: int,
    limit: int | None,
    groups: tuple[str, ...],
    reference: str | None,
    dtype: str,
    device: str | None,
    key_env: str,
    jobs: int,
    retries: int,
    timeout: float,
) -> None:
    """Ask a model every question of QUESTIONS after every codec.

    Run again, it asks only what has no answer yet. lab/docs/eval.md has the format.
    """
    if not (model or endpoint):
        raise click.UsageError("which model? give --model, --endpoint, or both")
    if endpoint and adapter:
        raise click.UsageError("a server takes pictures alone: --tokens needs a local model")
    if endpoint and choices == "likelihood":
        raise click.UsageError("an endpoint does not say how likely a choice is: --choices letter")
    how = How(
        letters=bool(endpoint) if choices is None else choices == "letter",
        instructions=not no_instructions,
        max_tokens=max_tokens,
        frames=frames,
    )
    found = _of_groups(read_questions(questions), groups)
    asked = _some(found, limit)
    wanted = tasks(asked, _codecs(ladders, adapter))
    options = {"key_variable": key_env, "retries": retries, "timeout": timeout}
    with closing(_backend(model, endpoint, dtype, device, **options)) as backend:
        rows = run(out / "rows.jsonl", wanted, backend, Scorer(asked), how, jobs=jobs if endpoint else 1)
        part = f", {len(asked)} of {len(found)} questions" if len(asked) < len(found) else ""
        title = f"{backend.name} on {questions.name}{part}"
    summary = summarise(asked, rows, title=title, reference=reference, likelihood=not how.letters)
    write_whole(str(out / "summary.md"), summary.markdown().encode("utf-8"))
    data = json.dumps(summary.data(), indent=1, allow_nan=False)
    write_whole(str(out / "summary.json"), (data + "\n").encode("utf-8"))
    _curves(asked, rows, out, title)
    click.echo(summary.markdown())
    if all("error" in row for row in rows):
        raise InputError("no question was answered")


@main.command("import")
@click.argument("name", metavar="NAME", type=click.Choice(list(IMPORTERS)))
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of questions to write.",
)
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pictures or videos, where they do not lie as the benchmark has them.",
)
@click.option(
    "--limit", type=click.IntRange(1), help="Take so many questions, drawn at random, the same each time."
)
@errors_shown
def import_command(name: str, source: Path, out: Path, images: Path | None, limit: int | None) -> None:
    """Make a file of questions of a benchmark's own files.

    NAME is textvqa, pope, mme, seed, mmbench, chartqa, video-mme, or pack for a folder with labels.jsonl.
    lab/docs/eval.md says what SOURCE is for each.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    found = import_questions(name, source, images, out)
    kept = _some(found.questions, limit)
    text = "".join(as_line(question) + "\n" for question in kept)
    parse_questions(text, out)  # before anything is written
    write_whole(str(out), text.encode("utf-8"))
    absent = sum(not path.exists() for question in kept for path in _files(question))
    click.echo(f"{out}: {len(kept)} questions", err=True)
    for reason, count in found.left_out.items():
        click.echo(f"{count} left out: {reason}", err=True)
    if absent:
        first = next(path for question in kept for path in _files(question) if not path.exists())
        click.echo(f"{absent} files are not where they should be, such as {first}: give --images", err=True)


def _files(question: Question) -> list[Path]:
    return question.paths() if question.video is None else [question.folder / question.video]


def _some(questions: list[Question], limit: int | None) -> list[Question]:
    """A random choice that is the same each time, and part of that for any higher limit, in their order.

    Files repeat in small periods (a kind of question after another), so even steps would miss whole kinds.
    """
    order = np.random.default_rng(0).permutation(len(questions))
    return [questions[index] for index in sorted(order[:limit])]


def _of_groups(questions: list[Question], groups: Sequence[str]) -> list[Question]:
    """Those of the named groups, all without names."""
    known = {question.group for question in questions if question.group}
    if unknown := [name for name in groups if name not in known]:
        there = ", ".join(sorted(known)) or "none has a group"
        raise InputError(f"no question is of the group {unknown[0]!r}; there is: {there}")
    return [question for question in questions if not groups or question.group in groups]


def _backend(
    model: str | None, endpoint: str | None, dtype: str, device: str | None, **options: Any
) -> Backend:
    if endpoint is None:
        assert model is not None
        return Local(model, dtype=dtype, device=device)
    from cotam_lab.evaluate.endpoint import Endpoint

    return Endpoint(endpoint, model, **options)


def _codecs(
    ladders: Sequence[tuple[str, tuple[int, ...]]], adapter: Path | None
) -> list[tuple[baselines.Codec | None, tuple[int, ...]]]:
    """A codec that is named several times is one, with all of these qualities."""
    merged: dict[str, set[int]] = {}
    for name, qualities in ladders:
        merged.setdefault(name, set()).update(qualities)
    found: list[tuple[baselines.Codec | None, tuple[int, ...]]] = []
    for name, qualities_of in merged.items():
        if name == NONE:
            found.append((None, ()))
        else:
            codec = baselines.codec(name)
            found.append((codec, tuple(sorted(qualities_of)) or codec.text_qualities))
    if adapter is None:
        return found
    read = [(with_tokens(codec, adapter), qualities) for codec, qualities in found if codec is not None]
    fitting = [(codec, qualities) for codec, qualities in read if codec is not None]
    if not fitting:
        raise InputError(
            f"{adapter}: no codec that was named makes files of its weight set for the view mllm"
        )
    return [*found, *fitting]


def _curves(questions: Sequence[Question], rows: Sequence[dict[str, Any]], out: Path, title: str) -> None:
    """A figure for each metric of which a codec has several qualities."""
    metrics = {question.id: question.metric for question in questions}
    for metric in dict.fromkeys(metrics.values()):
        own = by_picture(row for row in rows if metrics[row["question"]] == metric)
        if len({row["quality"] for row in own if row["quality"] is not None}) > 1:
            files = [out / f"curve-{metric}.svg", out / f"curve-{metric}.png"]
            report.curve_figure(own, ["answers"], files, title=f"{title}: {metric}")


if __name__ == "__main__":
    main()
