"""``cotam info``: describe images and .cotam files, and the sizes that models see."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

import cotam
from cotam import files
from cotam.api import Info
from cotam.cli.options import PATH, model_name, quality_option
from cotam.errors import InputError
from cotam.format.header import MAGIC, is_sequence
from cotam.frames import SequenceInfo
from cotam.screen import Screen, align_columns, show, shown_name

if TYPE_CHECKING:
    from cotam.image.read import Pixels

__all__ = ["info"]


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=PATH)
@click.option(
    "--for",
    "names",
    metavar="MODEL",
    type=model_name,
    multiple=True,
    help="Show the size that this model sees and its visual tokens. MODEL is a name from cotam models or the "
    "model's own.  [repeatable]",
)
@quality_option("Quality at which an image is encoded to find its size as .cotam.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--map", "with_map", is_flag=True, help="Show the gain offset map of .cotam files.")
def info(
    inputs: tuple[str, ...], names: tuple[str, ...], quality: int, as_json: bool, with_map: bool
) -> None:
    """Describe images and .cotam files.

    IN is a file, or - for standard input. An image is encoded to find its size as .cotam; with --for, at the
    size that the model sees. .cotam files are not decoded to pixels.

    The gain offset map has a number for every 32×32 pixels, in quarter octaves of gain: above 0 is coded
    finer than the quality says, below 0 coarser.
    """
    from cotam.image.read import read_with_notes

    screen = Screen(as_json=as_json)
    for source in inputs:
        text = ""
        with screen.reporting(source) as report, screen.progress(0):
            data = files.read_input(source)
            if _is_cotam(data):
                row, text = _describe_cotam(data, names, with_map)
            elif with_map:
                raise InputError("--map is for .cotam files: this is none")
            else:
                pixels = read_with_notes(source if os.path.isfile(source) else data, note=report.note).pixels
                row, text = _describe_image(len(data), pixels, names, quality)
            report.fields = row
        if text and not as_json:
            show(f"{click.format_filename(shown_name(source))}\n{text}")
    screen.end()


def _is_cotam(start: bytes) -> bool:
    """Whether data begin with the magic bytes, or are cut within them."""
    return bool(start) and start[: len(MAGIC)] == MAGIC[: len(start)]


# Ordinary images


@dataclass(frozen=True)
class _View:
    """How a model sees an image; sizes are (width, height)."""

    model: str
    sees: tuple[int, int]
    tokens: int | None
    verified: bool
    sent: tuple[int, int]
    cotam_bytes: int | None


def _views(width: int, height: int, names: Iterable[str], coded: Callable[[str], int] | None) -> list[_View]:
    """Return the views of an image by models; ``coded`` returns the size of a .cotam file for a model."""
    from cotam.image import models

    found = []
    known: dict[tuple[int, int], int | None] = {}
    for name in names:
        model = models.get(name)
        seen, sent = model.see(width, height), model.size_for(width, height)
        if sent not in known:
            known[sent] = coded(name) if coded else None
        found.append(_View(name, seen.size, seen.tokens, model.verified, sent, known[sent]))
    return found


def _describe_image(
    size: int, pixels: Pixels, names: Sequence[str], quality: int
) -> tuple[dict[str, Any], str]:
    """Describe an image in a file of ``size`` bytes, for JSON and as text."""

    def coded(name: str | None) -> int:
        return len(cotam.encode(pixels, quality=quality, fit=name))

    height, width = pixels.shape[:2]
    views, whole = _views(width, height, names, coded), None if names else coded(None)
    row: dict[str, Any] = {"width": width, "height": height, "bytes": size, "quality": quality}
    row |= {"models": [asdict(view) for view in views]} if names else {"cotam_bytes": whole}
    rows = {"image": f"{width} x {height}", "file": f"{size:,} bytes"}
    if whole:
        rows[".cotam"] = f"{whole:,} bytes at quality {quality}"
    return row, "\n".join([_table(rows), *_view_lines(views, quality)])


def _view_lines(
    views: Sequence[_View], quality: int | None, tokens_heading: str = "visual tokens"
) -> list[str]:
    if not views:
        return []
    lines = [["model", "sees", tokens_heading]]
    if quality is not None:
        lines[0].append(f".cotam at quality {quality}")
    for view in views:
        tokens = "unknown" if view.tokens is None else f"{view.tokens:,}"
        line = [view.model, f"{view.sees[0]} x {view.sees[1]}", tokens + ("" if view.verified else " *")]
        if view.cotam_bytes is not None:
            line.append(f"{view.cotam_bytes:,} bytes")
        lines.append(line)
    text = [f"  {line}" for line in align_columns(lines)]
    if not all(view.verified for view in views):
        text.append("  * not verified: cotam models NAME says what it rests on")
    return text


# .cotam files


def _describe_cotam(data: bytes, names: Sequence[str], with_map: bool) -> tuple[dict[str, Any], str]:
    """Describe a .cotam file, for JSON and as text."""
    if with_map and is_sequence(data):
        raise InputError("--map is for still images: this is a sequence of frames")
    found = cotam.open_sequence(data).info if is_sequence(data) else cotam.info(data)
    levels = cotam.level_map(data).tolist() if with_map else None
    views = _views(found.width, found.height, names, None)
    row = asdict(found)
    if names:
        row["models"] = [asdict(view) for view in views]
    tokens = "visual tokens a frame" if is_sequence(data) else "visual tokens"
    lines = [_lines(found), *_view_lines(views, None, tokens)]
    if levels is not None:
        row["levels"] = levels
        lines.append(_grid(levels))
    return row, "\n".join(lines)


def _lines(found: Info | SequenceInfo) -> str:
    rows: dict[str, object]
    if isinstance(found, SequenceInfo):
        count, times = len(found.times), f"{found.times[0]:g} to {found.times[-1]:g} s"
        each = found.bytes / count
        rows = {
            "frames": f"{count} of {found.width} x {found.height}, {times}",
            "file": f"{found.bytes:,} bytes, {each:,.0f} a frame, {found.bpp:.3f} bits per pixel",
            "quality": found.quality,
            "weights": found.weights,
            "keyframes": len(found.keys),
        }
        return _table(rows)
    rows = {
        "image": f"{found.width} x {found.height}",
        "file": f"{found.bytes:,} bytes, {found.bpp:.3f} bits per pixel",
        "quality": found.quality,
        "kind": found.kind,
    }
    if found.kind == "learned":
        rows["weights"] = found.weights
        rows["bits"] = "spread by a gain offset map" if found.has_levels else "spread evenly"
    rows["metadata"] = ", ".join(found.metadata) or "none"
    return _table(rows)


def _table(rows: Mapping[str, object]) -> str:
    return "\n".join(f"  {name:<9} {value}" for name, value in rows.items())


def _grid(levels: list[list[int]]) -> str:
    """Format a gain offset map, with dots for zeros."""
    return "\n".join("  " + "".join(f"{level:+3d}" if level else "  ." for level in row) for row in levels)
