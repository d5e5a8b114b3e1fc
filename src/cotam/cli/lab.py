"""Commands of the distribution cotam-lab, found through the entry-point group ``cotam.commands``."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import click

from cotam.errors import MissingLabError

__all__ = ["COMMANDS", "stub"]

COMMANDS = {
    "bench": "Compare codecs: rate against what models see and read.",
    "analyze": "Study what compression breaks for a vision encoder.",
    "eval": "Ask a multimodal LLM about coded images.",
    "train": "Train the codec, guides and adapters.",
}
"""Top-level command → its help in the list of commands."""


class _Stub(click.Command):
    """Passes the whole command line on to the command of the lab."""

    def __init__(self, path: str, summary: str) -> None:
        name = path.rpartition(" ")[2]
        super().__init__(name, help=f"{summary} (cotam-lab)", add_help_option=False)
        self.path, self.summary = path, summary

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> Any:
        for point in entry_points(group="cotam.commands", name=self.path.replace(" ", "-")):
            command: click.Command = point.load()
            with command.make_context(self.name, list(ctx.args), parent=ctx.parent) as inner:
                return command.invoke(inner)
        if {"-h", "--help"} & set(ctx.args):
            click.echo(f"{self.summary} Part of cotam-lab; run in a clone of cotam: pip install ./lab")
            return None
        raise MissingLabError(f"cotam {self.path}")


def stub(path: str, summary: str) -> click.Command:
    """The command `cotam <path>` of cotam-lab; without the lab its --help says how to install it."""
    return _Stub(path, summary)
