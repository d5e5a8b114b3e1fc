"""``cotam guide``: the commands about guides."""

from __future__ import annotations

import click

from cotam.guide.export import export

__all__ = ["guide"]


@click.group()
def guide() -> None:
    """Make guides, which say where bits are spent."""


guide.add_command(export)
