"""``cotam eval``: ask a multimodal LLM about images after each codec."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cotam.errors import InputError
from cotam.files import write_whole
from cotam_lab.bench.cli import Ladders, codecs_option, folder_option, number_option
from cotam_lab.bench.specs import ladder as codec_ladder

if TYPE_CHECKING:
    from cotam_lab.bench.baselines import Codec
    from cotam_lab.bench.sweep import Rows
    from cotam_lab.evaluate.endpoint import Endpoint
    from cotam_lab.evaluate.local import Local
    from cotam_lab.evaluate.questions import Question

__all__ = ["main"]

NONE = "none"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _ladder(spec: str) -> tuple[str, tuple[int, ...]]:
    return (NONE, ()) if spec == NONE else codec_ladder(spec)


@click.command("eval", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("questions", type=_FILE)
@folder_option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for rows.jsonl, summary.md and curves.",
)
@click.option(
    "--model",
    metavar="NAME",
    help="Model of transformers by hub name or folder, or the file of a reference model "
    "(lab/docs/reference_mllm.md); with --endpoint, the server's name for it.",
)
@click.option(
    "--endpoint",
    metavar="URL",
    help="OpenAI-compatible server, such as http://localhost:8000/v1; its key is OPENAI_API_KEY.",
)
@codecs_option(_ladder, "none, for the original images; ")
@click.option(
    "--choices",
    type=click.Choice(["letter", "likelihood"]),
    help="Ask for a letter, or take the most likely text.  [default: likelihood; letter with --endpoint]",
)
@click.option(
    "--tokens",
    "adapter",
    metavar="FILE",
    type=_FILE,
    help="Token adapter for the model's vision encoder (lab/docs/token_adapter.md): codecs whose files it "
    "reads are also measured with its tokens.",
)
@number_option("--max-tokens", help="Longest answer, in tokens.  [default: the metric's]")
@number_option("--limit", help="Ask only N questions, a fixed random choice.")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="Ask only this group.  [repeatable]")
@click.option("--reference", metavar="SPEC", help="Codec to compare with.  [default: the first]")
@click.option(
    "--device", metavar="NAME", help="Device of a local model, as torch names it.  [default: a GPU if any]"
)
@number_option("-j", "--jobs", default=4, show_default=True, help="Questions to an endpoint at a time.")
def main(
    questions: Path,
    out: Path,
    model: str | None,
    endpoint: str | None,
    ladders: Ladders,
    choices: str | None,
    adapter: Path | None,
    max_tokens: int | None,
    limit: int | None,
    groups: tuple[str, ...],
    reference: str | None,
    device: str | None,
    jobs: int,
) -> None:
    """Ask a multimodal LLM every question of QUESTIONS after every codec.

    QUESTIONS is a file of JSON lines (lab/docs/eval.md). Run again, it asks only what has no answer yet.
    """
    from cotam_lab.evaluate.questions import check_images, read_questions
    from cotam_lab.evaluate.run import Asking, plan, run
    from cotam_lab.evaluate.summary import summarise

    backend: Endpoint | Local
    if endpoint:
        if adapter or choices == "likelihood":
            raise click.UsageError(
                "an endpoint takes images alone, and gives no likelihoods: give a local --model"
            )
        from cotam_lab.evaluate.endpoint import Endpoint

        backend = Endpoint(endpoint, model)
    elif model:
        # With torch and transformers, which a server's client does without.
        from cotam_lab.evaluate.local import Local

        backend = Local(model, device=device)
    else:
        raise click.UsageError("no model: give --model, --endpoint, or both")
    letters = choices == "letter" if choices else bool(endpoint)
    found = _of_groups(read_questions(questions), groups)
    asked = _some(found, limit)
    check_images(asked)
    wanted = plan(asked, _codecs(ladders, adapter))
    with closing(backend):
        asking = Asking(letters, max_tokens)
        rows = run(out / "rows.jsonl", wanted, backend, asking, jobs=jobs if endpoint else 1)
    part = f", {len(asked)} of {len(found)} questions" if len(asked) < len(found) else ""
    title = f"{backend.name} on {questions.name}{part}"
    summary = summarise(asked, rows, title=title, reference=reference, likelihood=not letters)
    write_whole(str(out / "summary.md"), summary.markdown().encode("utf-8"))
    _curves(asked, rows, out, title)
    click.echo(summary.markdown())
    if all("error" in row for row in rows):
        raise InputError("no question was answered: the table above has the reason")


def _some(questions: list[Question], limit: int | None) -> list[Question]:
    """Choose at random, the same each time and a subset for lower limits, in their order.

    Files repeat in short periods, so even steps would miss whole kinds of questions.
    """
    import numpy as np

    order = np.random.default_rng(0).permutation(len(questions))
    return [questions[index] for index in sorted(order[:limit])]


def _of_groups(questions: list[Question], groups: Sequence[str]) -> list[Question]:
    """Questions of the named groups; all without names."""
    known = {question.group for question in questions if question.group}
    if unknown := [name for name in groups if name not in known]:
        there = ", ".join(sorted(known)) or "none"
        raise InputError(f"no question is of the group {unknown[0]!r}; groups are: {there}")
    return [question for question in questions if not groups or question.group in groups]


def _codecs(ladders: Ladders, adapter: Path | None) -> list[tuple[Codec | None, tuple[int, ...]]]:
    """Codecs with their qualities; one that is named several times is one with all of these."""
    from cotam_lab.bench import baselines
    from cotam_lab.evaluate.inputs import with_tokens

    merged: dict[str, set[int]] = {}
    for name, qualities in ladders:
        merged.setdefault(name, set()).update(qualities)
    found: list[tuple[Codec | None, tuple[int, ...]]] = []
    for name, qualities_of in merged.items():
        if name == NONE:
            found.append((None, ()))
        else:
            codec = baselines.codec(name)
            found.append((codec, tuple(sorted(qualities_of)) or codec.qualities))
    if adapter is None:
        return found
    read = [(with_tokens(codec, adapter), qualities) for codec, qualities in found if codec is not None]
    fitting = [(codec, qualities) for codec, qualities in read if codec is not None]
    if not fitting:
        raise InputError(f"{adapter} reads the files of no --codec given: add cotam or cotam:profile=mllm")
    return [*found, *fitting]


def _curves(questions: Sequence[Question], rows: Rows, out: Path, title: str) -> None:
    """Draw a figure for each metric of which a codec has several qualities."""
    from cotam_lab.bench import report
    from cotam_lab.evaluate.summary import by_image

    metrics = {question.id: question.metric for question in questions}
    for metric in dict.fromkeys(metrics.values()):
        own = by_image(row for row in rows if metrics[row["question"]] == metric)
        if len({row["quality"] for row in own if row["quality"] is not None}) > 1:
            files = [out / f"curve-{metric}.svg", out / f"curve-{metric}.png"]
            report.curve_figure(own, ["answers"], files, title=f"{title}: {metric}")
