"""``cotam guide``: the commands about guides."""

from __future__ import annotations

import click

from cotam.cli.guide_show import show
from cotam.cli.lab import stub

__all__ = ["guide"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def guide() -> None:
    """Make guides, which say where bits are spent, and look at them."""


guide.add_command(show)
guide.add_command(stub("guide export", "Make an ONNX guide of a vision encoder."))
