"""``cotam guide export``: export the first layers of a vision encoder as an ONNX guide."""

from __future__ import annotations

import hashlib
import re

import click

from cotam import files
from cotam.cli.options import overwrite_option

__all__ = ["export"]


def _layers(text: str) -> list[int]:
    parts = [re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part) for part in text.split(",")]
    numbers = {n for part in parts if part for n in range(int(part[1]), int(part[2] or part[1]) + 1)}
    if not all(parts) or not numbers:
        raise click.BadParameter(f"layers must be numbers and ranges such as 1-3 or 2,5,11-12, got {text!r}")
    return sorted(numbers)


@click.command()
@click.argument("name")
@click.option("-o", "--output", metavar="OUT", required=True, help="ONNX file, or - for standard output.")
@click.option(
    "--layers",
    type=_layers,
    metavar="LAYERS",
    default="1-3",
    show_default=True,
    help="Layers whose attention is used: 1-3, or 2,5,11-12.",
)
@click.option(
    "--revision", metavar="COMMIT", help="Commit of the hub.  [default: pinned for known names, else main]"
)
@click.option("--small", is_flag=True, help="Store weights as int8: a quarter of the size.")
@overwrite_option
def export(
    name: str, output: str, layers: list[int], revision: str | None, small: bool, overwrite: bool
) -> None:
    """Export the first layers of a vision encoder as an ONNX guide.

    NAME is a model on the hub, such as facebook/dinov2-small, or a folder with config.json and
    model.safetensors: OpenAI CLIP, OpenCLIP, SigLIP or DINOv2 as saved by transformers. --guide OUT then
    runs it without torch. Prints the SHA-256 of the file.
    """
    from cotam_lab.guides.clip import ClipGuide

    files.check_output(output, set(), overwrite=overwrite)
    name = name.removeprefix("clip:")
    click.echo(f"reading {name}", err=True)
    found = ClipGuide(name, revision=revision, layers=layers)
    click.echo(f"exporting {found.name}, images of {found.side} pixels", err=True)
    data = found.onnx(small=small)
    files.write_whole(output, data, overwrite=overwrite)
    click.echo(f"{hashlib.sha256(data).hexdigest()}  {output}", err=output == files.STANDARD)
