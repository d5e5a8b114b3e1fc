"""``cotam train``: pack images, train the codec, export its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cotam.errors import CotamError
from cotam_lab.guides.cli import guide
from cotam_lab.reference.cli import reference
from cotam_lab.train.options import (
    FILE,
    OUT,
    THERE,
    crops_of,
    files_of,
    folders_argument,
    hold_out_option,
    loss_of,
    loss_option,
    minutes_option,
    pack_option,
    run_option,
    size_option,
    teacher_option,
    text_share_option,
)

if TYPE_CHECKING:
    from cotam_lab.train.batches import PackBatches, TileBatches
    from cotam_lab.train.loop import Part
    from cotam_lab.train.schedule import Schedule


class _Program(click.Group):
    """Shows a CotamError as one line, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CotamError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train the codec, its guide and adapters, and the reference model (lab/docs/training.md)."""


main.add_command(guide)
main.add_command(reference)


@main.command("pack")
@folders_argument
@click.option("-o", "--output", "out", type=OUT, required=True, help="Folder of the pack.")
@hold_out_option
def pack_command(folders: tuple[str, ...], out: Path, hold_out: tuple[str, ...]) -> None:
    """Pack folders of images, as KIND=FOLDER, into one file that training maps into memory.

    Images of the kind "text" are never resized, turned or mirrored. Images of a kind, which may have several
    folders, are equally likely.
    """
    from cotam_lab.train.data import pack

    for kind, count in pack(files_of(folders, hold_out), out).items():
        click.echo(f"{kind}: {count} images")


@main.command("codec")
@click.option("--pack", "folder", type=THERE, help="Folder written by pack.")
@click.option("--tiles", "tiles_file", type=THERE, help="File written by tiles, for a GPU.")
@run_option
@size_option
@click.option("--steps", default=300_000, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Crops per step, over all processes.")
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option(
    "--decay",
    default=0.6,
    show_default=True,
    help="Last part of the steps, in which the learning rate falls to 0.",
)
@click.option(
    "--rounded-from",
    default=0.9,
    show_default=True,
    help="Part of the steps after which the rate is that of rounded latents.",
)
@click.option("--seed", default=0, show_default=True)
@minutes_option
@click.option("--weights", type=THERE, help="Checkpoint to start from.")
@loss_option("mse")
@click.option(
    "--part",
    type=click.Choice(["codec", "transforms", "adapter"]),
    default="codec",
    show_default=True,
    help="Part to train; the rest is frozen. transforms: all but the coding of hyper latents.",
)
@click.option("--float32", is_flag=True, help="Do not train in bf16: for the last steps of a set.")
@teacher_option
@text_share_option
@click.option(
    "--quality-power", default=1.0, show_default=True, help="Above 1, low qualities are drawn more often."
)
@click.option("--log-every", default=100, show_default=True, help="Steps between two rows of the log.")
def codec_command(
    folder: Path | None,
    tiles_file: Path | None,
    run: Path,
    size: int,
    weights: Path | None,
    minutes: float | None,
    text_share: float,
    log_every: int,
    objective: str,
    part: Part,
    float32: bool,
    teacher: str,
    **schedule: float,
) -> None:
    """Train the codec, in one process or in several under ``torchrun``. Run again, it continues."""
    from cotam_lab.nets.codec import Codec
    from cotam_lab.nets.dct import start_from_dct
    from cotam_lab.train.checkpoints import load_codec
    from cotam_lab.train.loop import train
    from cotam_lab.train.schedule import Schedule

    plan = Schedule(**schedule)  # type: ignore[arg-type]
    batches = _batches(folder, tiles_file, size, plan, text_share)
    codec = load_codec(weights) if weights else Codec()
    if not weights:
        start_from_dct(codec)
    elif part != "adapter":
        codec.adapter.silence()
    train(
        codec,
        batches,
        run,
        plan,
        loss=loss_of(objective, teacher),
        part=part,
        float32=float32,
        minutes=minutes,
        log_every=log_every,
    )


def _batches(
    folder: Path | None, tiles_file: Path | None, size: int, plan: Schedule, text_share: float
) -> PackBatches | TileBatches:
    """Batches of a pack, or of tiles."""
    import torch

    from cotam_lab.train import tiles
    from cotam_lab.train.batches import PackBatches, TileBatches

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if tiles_file and not folder:
        return TileBatches(*tiles.load(tiles_file), size, plan, device, text_share)
    if folder is None or tiles_file:
        raise click.UsageError("give either --pack or --tiles")
    return PackBatches(crops_of(folder, size=size, seed=plan.seed, text_share=text_share), plan, device)


@main.command("tiles")
@folders_argument
@click.option("-o", "--output", "out", type=FILE, required=True)
@click.option("--megabytes", default=48.0, show_default=True, help="Largest size of the file.")
@hold_out_option
@text_share_option
def tiles_command(
    folders: tuple[str, ...], out: Path, megabytes: float, hold_out: tuple[str, ...], text_share: float
) -> None:
    """Pack compressed tiles of images into one small file, for training on a GPU (codec --tiles)."""
    from cotam_lab.train import tiles

    counts = tiles.pack_tiles(files_of(folders, hold_out), out, int(megabytes * 1e6), text_share=text_share)
    click.echo(", ".join(f"{kind}: {count} tiles" for kind, count in counts.items()))


@main.command("losses")
@click.argument("files", nargs=-1, required=True, type=THERE)
@pack_option
@click.option("--crops", default=48, show_default=True)
@size_option
@loss_option("mllm")
@teacher_option
def losses_command(
    files: tuple[Path, ...], folder: Path, crops: int, size: int, objective: str, teacher: str
) -> None:
    """Print loss terms of the weights in FILES on the same crops and qualities.

    FILES are checkpoints, or .safetensors files written by export.
    """
    from cotam_lab.train.checkpoints import load_codec
    from cotam_lab.train.data import Crops
    from cotam_lab.train.evaluate import on_crops

    loss = loss_of(objective, teacher)
    for number, file in enumerate(files):
        found = on_crops(load_codec(file).eval(), Crops(folder, size=size), loss, crops)
        if number == 0:
            click.echo(f"| weights | {' | '.join(found)} |\n| --- |{' ---: |' * len(found)}")
        click.echo(f"| {file} | {' | '.join(f'{value:.4f}' for value in found.values())} |")


@main.command("export")
@click.argument("checkpoint", type=THERE)
@pack_option
@click.option(
    "-o", "--output", "out", metavar="OUT", type=OUT, required=True, help="Folder of the weight set."
)
@click.option(
    "--crops", default=400, show_default=True, help="Number of training crops to fit the symbol tables to."
)
@click.option(
    "--adapts",
    type=click.Choice(["human", "mllm"]),
    default="mllm",
    show_default=True,
    help="View for which the image adapter was trained.",
)
@text_share_option
def export_command(
    checkpoint: Path, folder: Path, out: Path, crops: int, adapts: Literal["human", "mllm"], text_share: float
) -> None:
    """Write the averaged weights of CHECKPOINT as a weight set.

    OUT.safetensors, beside the folder OUT, gets them in float16. The set is made from these; later runs can
    start from them.
    """
    from safetensors.torch import save_file

    from cotam_lab.train.checkpoints import averaged_weights, load_codec
    from cotam_lab.train.data import Crops
    from cotam_lab.train.export import export

    small = {
        name: (value if name.endswith("steps.steps") else value.half()).contiguous()
        for name, value in averaged_weights(checkpoint).items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f"{out.name}.safetensors")
    save_file(small, file)
    source = Crops(folder, size=256, seed=1, text_share=text_share)
    examples = [source.batch(step, 1)[0][0] for step in range(crops)]
    export(load_codec(file), out, examples, adapts)


@main.command("hyper-context")
@click.argument("checkpoint", type=THERE)
@pack_option
@click.option("-o", "--output", "out", metavar="OUT", type=FILE, required=True)
@click.option(
    "--images", type=click.IntRange(2), default=1300, show_default=True, help="Number of whole images."
)
@click.option("--steps", default=600, show_default=True, help="Steps of two images.")
@text_share_option
def hyper_context_command(
    checkpoint: Path, folder: Path, out: Path, images: int, steps: int, text_share: float
) -> None:
    """Fit the hyper context of CHECKPOINT on whole images. OUT is a checkpoint for export."""
    import torch

    from cotam_lab.train import hyper_context
    from cotam_lab.train.checkpoints import load_codec
    from cotam_lab.train.data import Crops

    codec = load_codec(checkpoint).eval()
    crops = Crops(folder, size=128, seed=1, text_share=text_share)
    latents = hyper_context.hyper_latents(codec, crops.whole(images))
    hyper_context.fit(codec, latents, steps, note=click.echo)
    torch.save({"average": codec.state_dict()}, out)


@main.command("tokens")
@pack_option
@run_option
@click.option(
    "--network",
    type=THERE,
    required=True,
    help="Weights of the codec in torch: a checkpoint, or .safetensors written by export.",
)
@click.option("--set", "chosen", default="mllm", show_default=True, help="Weight set: name or folder.")
@teacher_option
@click.option(
    "--loss",
    "setting",
    type=click.Choice(["mllm", "paper"]),
    default="mllm",
    show_default=True,
    help="Encoder levels in the loss: all but the patch embeddings, or those of the paper.",
)
@click.option(
    "--ratio", default=2.0, show_default=True, help="Expansion ratio of the adapter's MLP; 4 in the paper."
)
@size_option
@click.option("--steps", default=20_000, show_default=True)
@click.option("--batch", default=4, show_default=True, help="Crops per step, over all processes.")
@minutes_option
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
    """Train a token adapter for a frozen codec and encoder. Run again, it continues.

    adapter.safetensors in the folder of the run has the averaged weights, for cotam_lab.llava.attach.
    """
    import torch

    from cotam_lab.nets.teachers import load_teacher
    from cotam_lab.train.batches import PackBatches
    from cotam_lab.train.checkpoints import averaged_weights
    from cotam_lab.train.loop import train
    from cotam_lab.train.losses import SETTINGS, Tokens
    from cotam_lab.train.schedule import Schedule
    from cotam_lab.train.tokens import with_new_adapter

    plan = Schedule(steps=steps, batch=batch, learning_rate=1e-4, quality_power=1.5)
    crops = crops_of(folder, size=size, seed=plan.seed)
    seen_by = load_teacher(teacher)
    torch.manual_seed(plan.seed)
    model = with_new_adapter(network, chosen, seen_by, ratio, crops.batch(0, 32)[0])
    batches = PackBatches(crops, plan, "cuda" if torch.cuda.is_available() else "cpu")
    train(model, batches, run, plan, loss=Tokens(seen_by, SETTINGS[setting]), part="adapter", minutes=minutes)
    if os.environ.get("RANK", "0") != "0":  # of torchrun: the first process wrote the checkpoint
        return
    model.load_state_dict(averaged_weights(run / "checkpoint.pt"))
    model.adapter.cpu().save(run / "adapter.safetensors")
    click.echo(f"wrote {run / 'adapter.safetensors'}")


if __name__ == "__main__":
    main()
