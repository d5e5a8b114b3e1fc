"""``cotam guide``: the commands about guides."""

from __future__ import annotations

import click

from cotam.guide.show import show

__all__ = ["guide"]


@click.group()
def guide() -> None:
    """Look at guides, which say where bits are spent."""


guide.add_command(show)
