"""``cotam models``: print the table of models as text or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cotam.errors import InputError
from cotam.screen import align_columns, show

if TYPE_CHECKING:
    from cotam.image.models import Limits, Model

__all__ = ["format_names", "limits_text", "models"]

Size = tuple[int, int]


def _size(text: str) -> Size:
    """Parse a size such as 1920x1080."""
    found = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise click.BadParameter(f"{text!r} is not a size such as 1920x1080")
    return int(found[1]), int(found[2])


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--size", metavar="WxH", type=_size, default="1920x1080", help="Size of the example image.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def models(names: tuple[str, ...], size: Size, as_json: bool) -> None:
    """List the models of --for: image sizes, visual tokens, limits.

    With NAME, show all that is known about a model, with sources. NAME may be the model's own name, such as
    claude-opus-4-7 or Qwen/Qwen3-VL-8B-Instruct.
    """
    from cotam.image import models as table

    try:
        chosen = [table.get(name) for name in names] or list(table.all_models())
    except InputError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        text = "\n".join(json.dumps(_row(model, size)) for model in chosen)
    elif names:
        text = "\n\n".join(_describe(model, size) for model in chosen)
    else:
        text = "\n".join(_list(chosen, size))
    show(text)


def _row(model: Model, size: Size) -> dict[str, Any]:
    seen = model.see(*size)
    return {
        "name": model.name,
        "title": model.title,
        "hosted": model.hosted,
        "aliases": model.aliases,
        "verified": model.verified,
        "image": size,
        "sees": seen.size,
        "tokens": seen.tokens,
        "sent": model.size_for(*size),
        "detail": model.detail,
        "details": model.details,
        "formats": model.formats,
        "limits": {name: value for name, value in asdict(model.limits).items() if value is not None},
        "sources": [asdict(source) for source in model.sources],
    }


def _list(chosen: Sequence[Model], size: Size) -> list[str]:
    lines = [["name", f"sees of {_size_text(size)}", "visual tokens", "models"]]
    for model in chosen:
        seen = model.see(*size)
        tokens = "unknown" if seen.tokens is None else f"{seen.tokens:,}"
        mark = "" if model.verified else " *"
        lines.append([model.name, _size_text(seen.size), tokens + mark, model.title])
    return [*align_columns(lines), "* not verified: cotam models NAME says what it rests on"]


def _describe(model: Model, size: Size) -> str:
    seen, sent = model.see(*size), model.size_for(*size)
    tokens = "visual tokens unknown" if seen.tokens is None else f"{seen.tokens:,} visual tokens"
    rows = [
        ("names", ", ".join((model.name, *model.aliases))),
        ("sees", f"{_size_text(seen.size)} of {_size_text(size)}: {tokens}"),
        ("--for", f"sends {_size_text(sent)}"),
    ]
    if len(model.details) > 1:
        rows.append(("details", ", ".join(f"{model.name}:{level}" for level in model.details)))
    rows.append(("formats", format_names(model.formats)))
    if limits := limits_text(model.limits):
        rows.append(("limits", limits))
    for source in model.sources:
        note = f" ({source.note})" if source.note else ""
        doubt = "" if source.verified else "not verified: "
        rows.append(("source", f"{source.of}: {doubt}{source.source}{note}"))
    return "\n".join([f"{model.name}: {model.title}", *(f"  {name:<8} {text}" for name, text in rows)])


def format_names(formats: Sequence[str] | None) -> str:
    """Return the names of formats as people write them."""
    if formats is None:
        return "what the server opens"
    return ", ".join("WebP" if name == "webp" else name.upper() for name in formats)


def limits_text(limits: Limits) -> str:
    """Describe what an API refuses, in one line."""
    parts = []
    if limits.image_bytes:
        parts.append(f"{_bytes(limits.image_bytes)} an image")
        if limits.base64_counted:
            parts[-1] += f" as base64, which is {_bytes(limits.file_bytes or 0)} of file"
    if limits.request_bytes:
        parts.append(f"{_bytes(limits.request_bytes)} a request")
    if limits.images:
        parts.append(f"{limits.images:,} images")
    if limits.side:
        parts.append(f"{limits.side} px a side")
    if limits.many_side:
        parts.append(f"{limits.many_side} px a side above {limits.many_images} images")
    if limits.patches:
        parts.append(f"{limits.patches.count:,} patches of {limits.patches.size} px an image")
    return ", ".join(parts)


def _bytes(count: int) -> str:
    mebibytes, rest = divmod(count, 1024 * 1024)
    return f"{mebibytes} MiB" if not rest else f"{count / 1e6:g} MB"


def _size_text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
