"""``cotam train guide``: targets, distillation and export of the built-in guide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["guide"]

SIZES = (224, 256)
LARGEST_SHRINK = 6.0
"""Largest reduction of photographs before cropping, since encoders see most photographs whole."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(path_type=Path)


@click.group()
def guide() -> None:
    """Train the built-in guide (lab/docs/guide_maps.md)."""


@guide.command()
@click.option("--pack", type=_FOLDER, required=True, help="Training images.")
@click.option("-o", "--output", "out", type=_OUT, required=True, help="Folder for the targets.")
@click.option("--count", default=2400, show_default=True, help="Number of crops.")
@click.option(
    "--weights",
    "weight_set",
    default="mllm",
    show_default=True,
    help="Weight set of the codec: name or folder.",
)
@click.option("--seed", default=8, show_default=True)
def targets(pack: Path, out: Path, count: int, weight_set: str, seed: int) -> None:
    """Measure sensitivities and text of training crops. Run again, it continues."""
    from cotam_lab.guides.sensitivity import Teachers, cache
    from cotam_lab.nets.teachers import load_teacher
    from cotam_lab.nets.text_detector import load_text_detector
    from cotam_lab.train.checkpoints import exported
    from cotam_lab.train.data import Crops

    sources = [
        Crops(pack, size=size, seed=seed, text_share=0.2, largest_shrink=LARGEST_SHRINK) for size in SIZES
    ]
    teachers = Teachers(exported(weight_set), load_teacher(attention=True), load_text_detector())
    made = cache(sources, count, out, teachers)
    with click.progressbar(made, length=count, label="targets") as bar:
        for _ in bar:
            pass


@guide.command("distil")
@click.argument("folder", type=_FOLDER)
@click.option("-o", "--output", "out", type=_OUT, required=True, help="File to write, .safetensors.")
@click.option("--steps", default=5000, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--learning-rate", "rate", default=2e-3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def distil_command(folder: Path, out: Path, **options: Any) -> None:
    """Train a new guide on the targets in FOLDER; every tenth crop is for validation."""
    import torch

    from cotam_lab.guides.distil import distil, load_targets, save, validate
    from cotam_lab.nets.guide_lite import HEADS, Lite

    out.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options["seed"])
    lite, (training, validation) = Lite(), load_targets(folder)
    for step, loss in distil(lite, training, **options):
        if (step + 1) % 250 == 0:
            held = validate(lite, validation)
            parts = (f"{n} {a:.3f} {b:.3f}" for n, a, b in zip(HEADS, loss.tolist(), held, strict=True))
            click.echo(f"{step + 1}: loss, correlation when held out: " + ", ".join(parts))
    save(lite, out)


@guide.command()
@click.argument("file", type=_FILE)
@click.option("-o", "--output", "out", type=_OUT, required=True, help="File to write, .onnx.")
@click.option("--side", default=768, show_default=True, help="Largest long side of its input, in pixels.")
@click.option("--exponent", default=0.35, show_default=True, help="Gain is importance to this power.")
def export(file: Path, out: Path, side: int, exponent: float) -> None:
    """Write a guide as ONNX, such as src/cotam/weights/guide_lite.onnx."""
    from cotam_lab.guides.distil import export_guide, load

    export_guide(load(file), out, side=side, exponent=exponent)
