"""``cotam info``: describe images and .cotam files, and what models make of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

import cotam
from cotam import files
from cotam.api import Info
from cotam.cli.options import model_name, quality_option
from cotam.errors import InputError
from cotam.format.header import HEADER_BYTES, MAGIC, is_sequence, read_header
from cotam.frames import SequenceInfo
from cotam.screen import Screen

__all__ = ["columns", "info"]


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True)
@click.option(
    "--for",
    "names",
    metavar="MODEL",
    type=model_name,
    multiple=True,
    help="Say what this model sees, and its visual tokens: a name that cotam models lists, or a model's "
    "own.  [repeatable]",
)
@quality_option("Of the .cotam file that an image would become.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--map", "with_map", is_flag=True, help="Of .cotam files: show the level map, too.")
def info(
    inputs: tuple[str, ...], names: tuple[str, ...], quality: int, as_json: bool, with_map: bool
) -> None:
    """Describe images and .cotam files.

    IN is a file, or - for standard input. An image is encoded to say how many bytes it has as .cotam; with
    --for, at the size that the model sees. .cotam files are not decoded to pixels.

    The level map has a number for 32×32 pixels, in quarter octaves of gain: above 0 is finer than the quality
    says, below it is coarser.
    """
    screen = Screen()
    for source in inputs:
        text = ""
        with screen.reporting(source):
            data = files.read_input(source, HEADER_BYTES, _check)
            if _is_cotam(data):
                text = _coded(source, data, names, as_json, with_map)
            elif with_map:
                raise InputError("--map is for .cotam files: this is none")
            else:
                text = _image(source, data, names, quality, as_json)
        if text:
            click.echo(text)
    if screen.failed:
        click.get_current_context().exit(1)


def _check(start: bytes) -> None:
    """Refuse damaged headers before the rest is read; files of other formats pass."""
    if _is_cotam(start):
        read_header(start)


def _is_cotam(start: bytes) -> bool:
    """Whether data begin with the magic bytes, or are cut within them."""
    return bool(start) and start[: len(MAGIC)] == MAGIC[: len(start)]


# Ordinary images


@dataclass(frozen=True)
class _View:
    """What a model makes of an image; sizes are (width, height)."""

    model: str
    sees: tuple[int, int]
    tokens: int | None
    verified: bool
    sent: tuple[int, int]
    cotam_bytes: int | None


def _views(width: int, height: int, names: Iterable[str], sizes: Mapping[str, int]) -> list[_View]:
    """Views of an image by models; ``sizes`` has the bytes of .cotam files by the model's name."""
    from cotam.image import models

    found = []
    for name in names:
        model = models.get(name)
        seen, sent = model.see(width, height), model.size_for(width, height)
        found.append(_View(name, seen.size, seen.tokens, model.verified, sent, sizes.get(name)))
    return found


def _image(source: str, data: bytes, names: Sequence[str], quality: int, as_json: bool) -> str:
    from cotam.image import models
    from cotam.image.read import outline

    width, height, _ = outline(data)
    coded: dict[tuple[int, int], int] = {}
    sizes: dict[str, int] = {}
    for name in names:
        sent = models.get(name).size_for(width, height)
        if sent not in coded:
            coded[sent] = len(cotam.encode(data, quality=quality, fit=name))
        sizes[name] = coded[sent]
    whole = None if names else len(cotam.encode(data, quality=quality))
    views = _views(width, height, names, sizes)
    if as_json:
        row = {"file": source, "width": width, "height": height, "bytes": len(data), "quality": quality}
        return json.dumps(
            row | ({"models": [asdict(view) for view in views]} if names else {"cotam_bytes": whole})
        )
    rows = {"image": f"{width} x {height}", "file": f"{len(data):,} bytes"}
    if whole:
        rows[".cotam"] = f"{whole:,} bytes at quality {quality}"
    return "\n".join([click.format_filename(source), _table(rows), *_view_lines(views, quality)])


def _view_lines(views: Sequence[_View], quality: int | None) -> list[str]:
    if not views:
        return []
    heads = ["model", "sees", "visual tokens", f".cotam at quality {quality}" if quality is not None else ""]
    lines = [heads if quality is not None else heads[:-1]]
    for view in views:
        tokens = "unknown" if view.tokens is None else f"{view.tokens:,}"
        line = [view.model, f"{view.sees[0]} x {view.sees[1]}", tokens + ("" if view.verified else " *")]
        if view.cotam_bytes is not None:
            line.append(f"{view.cotam_bytes:,} bytes")
        lines.append(line)
    text = [f"  {line}" for line in columns(lines)]
    if not all(view.verified for view in views):
        text.append("  * not verified: cotam models NAME says what it rests on")
    return text


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of a table, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


# .cotam files


def _coded(source: str, data: bytes, names: Sequence[str], as_json: bool, with_map: bool) -> str:
    if with_map and is_sequence(data):
        raise InputError("--map is for still images: this is a sequence of frames")
    found = cotam.open_sequence(data).info if is_sequence(data) else cotam.info(data)
    levels = cotam.level_map(data).tolist() if with_map else None
    views = _views(found.width, found.height, names, {})
    if as_json:
        row = {"file": source} | asdict(found)
        if names:
            row["models"] = [_without_bytes(view) for view in views]
        return json.dumps(row if levels is None else row | {"levels": levels})
    grid = [] if levels is None else [_grid(levels)]
    return "\n".join([click.format_filename(source), _lines(found), *_view_lines(views, None), *grid])


def _without_bytes(view: _View) -> dict[str, Any]:
    return {name: value for name, value in asdict(view).items() if name != "cotam_bytes"}


def _lines(found: Info | SequenceInfo) -> str:
    if isinstance(found, SequenceInfo):
        return _table(_of_sequence(found))
    return _table(
        {
            "image": f"{found.width} x {found.height}",
            "file": f"{found.bytes} bytes, {found.bpp:.3f} bits per pixel",
            "quality": found.quality,
            "kind": found.kind,
            **({} if found.kind != "learned" else _learned(found)),
            "metadata": ", ".join(found.metadata) or "none",
        }
    )


def _learned(found: Info) -> dict[str, object]:
    bits = "spread by a level map" if found.has_levels else "spread evenly"
    return {"weights": found.weights, "bits": bits}


def _of_sequence(found: SequenceInfo) -> dict[str, object]:
    count = len(found.times)
    return {
        "frames": f"{count} of {found.width} x {found.height}, {found.times[0]:g} to {found.times[-1]:g} s",
        "file": f"{found.bytes} bytes, {found.bytes / count:.0f} a frame, {found.bpp:.3f} bits per pixel",
        "quality": found.quality,
        "weights": found.weights,
        "keys": f"{len(found.keys)} frames decode without those before",
    }


def _table(rows: Mapping[str, object]) -> str:
    return "\n".join(f"  {name:<9} {value}" for name, value in rows.items())


def _grid(levels: list[list[int]]) -> str:
    """A line for each row; zeros are dots, so that the rest stands out."""
    return "\n".join("  " + "".join(f"{level:+3d}" if level else "  ." for level in row) for row in levels)
