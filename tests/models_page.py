"""Brings the tables of docs/models.md up to date: ``python tests/models_page.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cotam.cli.models import format_names, limits_text
from cotam.image import models

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
PHOTO = 4032, 3024


def hosted() -> str:
    rows = [
        [*_seen(model), format_names(model.formats), limits_text(model.limits) or "not known"]
        for model in models.all_models()
        if model.hosted
    ]
    return _table(["models", "flag", "sees", "visual tokens", "formats", "limits"], rows)


def open_models() -> str:
    rows = [_seen(model) for model in models.all_models() if not model.hosted]
    return _table(["models", "flag", "sees", "visual tokens"], rows)


def servers() -> str:
    rows = [
        [
            server.title,
            "all that Pillow reads" if server.formats is None else format_names(server.formats),
            "yes" if server.opens_cotam else "no",
            server.flags,
            server.note or "–",
        ]
        for server in models.servers()
    ]
    return _table(["server", "opens", "opens .cotam", "use", "note"], rows)


def details() -> str:
    rows = []
    for model in models.all_models():
        levels = [level for level in model.details if level != "auto"]
        if len({model.see(*PHOTO, level) for level in levels}) > 1:
            auto = model.see(*PHOTO)
            names = [f"`{model.name}:{level}`" for level in levels]
            rows.append(
                [
                    model.title,
                    ", ".join(
                        f"**{name}**" if model.see(*PHOTO, level) == auto else name
                        for name, level in zip(names, levels, strict=True)
                    ),
                ]
            )
    return _table(["models", "levels"], rows)


TABLES = {"hosted": hosted, "open": open_models, "servers": servers, "details": details}


def _seen(model: models.Model) -> list[str]:
    seen = model.see(*PHOTO)
    tokens = "unknown" if seen.tokens is None else f"{seen.tokens:,}"
    size = f"{seen.size[0]} × {seen.size[1]}"
    return [model.title, f"`--for {model.name}`", size, tokens + ("" if model.verified else " *")]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def refreshed(page: str) -> str:
    """The page with each table as the table of models is today."""
    return re.sub(
        r"<!-- (\w+) -->\n.*?<!-- end -->",
        lambda block: f"<!-- {block[1]} -->\n{TABLES[block[1]]()}\n<!-- end -->",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
