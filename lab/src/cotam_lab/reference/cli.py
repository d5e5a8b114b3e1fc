"""``cotam train reference``: train the reference model, write questions."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

__all__ = ["reference"]

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(path_type=Path)


@click.group()
def reference() -> None:
    """Train the small multimodal LLM that needs no hub (lab/docs/reference_mllm.md)."""


@reference.command()
@click.argument("data", type=_FOLDER)
@click.option("-o", "--output", "out", type=_OUT, required=True, help="Folder for the questions.")
@click.option("--count", default=80, show_default=True, help="Synthetic questions a task.")
def questions(data: Path, out: Path, count: int) -> None:
    """Write held-out questions for cotam eval: synthetic.jsonl, real.jsonl, and README.md with chance."""
    from cotam_lab.reference.quiz_sets import write_sets

    for name, found in write_sets(data, out, count=count).items():
        click.echo(f"{out / name}.jsonl: {len(found)} questions")


@reference.command("fit")
@click.argument("data", type=_FOLDER)
@click.option("-o", "--output", "run", type=_OUT, required=True, help="Folder of the run.")
@click.option("--minutes", type=float, help="Stop after this time; the same command continues.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=max(0, (os.cpu_count() or 1) - 1),
    show_default="cores but one",
    help="Processes that draw images.",
)
@click.option("--batch", type=click.IntRange(1), help="Items a step.  [default: 128]")
@click.option("--rehearse", is_flag=True, help="Four steps of two items, to test the set-up.")
def fit(
    data: Path, run: Path, minutes: float | None, workers: int, batch: int | None, rehearse: bool
) -> None:
    """Train, or continue training, with the photos of DATA/train; writes reference.safetensors.

    Every tenth photo is held out.
    """
    from cotam_lab.reference.model import Settings, assemble, load_parts
    from cotam_lab.reference.quiz import Material
    from cotam_lab.reference.quiz_data import training
    from cotam_lab.reference.train import REHEARSAL, Schedule, train

    schedule = REHEARSAL if rehearse else Schedule()
    if batch:
        schedule = replace(schedule, batch=batch)
    material = Material(*training(data))
    settings = Settings()
    model, processor = assemble(*load_parts(), settings)
    every = 1 if rehearse else 50
    options = {"minutes": minutes, "workers": workers, "log_every": every}
    done = train(model, processor, material, run, schedule, settings, **options)  # type: ignore[arg-type]
    if done is None:
        click.echo(f"{run}: not finished; the same command continues")
        return
    note = " (a rehearsal: untrained)" if rehearse else ""
    click.echo(f"{done}: {done.stat().st_size / 1e6:.1f} MB{note}; ask it with cotam eval --model {done}")
