"""``cotam guide``: the commands about guides."""

from __future__ import annotations

import click

from cotam.guide.export import export
from cotam.guide.show import show

__all__ = ["guide"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def guide() -> None:
    """Make guides, which say where bits are spent, and look at them."""


guide.add_command(export)
guide.add_command(show)
