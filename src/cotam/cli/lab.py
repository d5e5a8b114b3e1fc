"""The commands of cotam-lab, imported only when they run."""

from __future__ import annotations

from typing import Any

import click

from cotam.errors import MissingLabError

__all__ = ["LabCommand"]


class LabCommand(click.Command):
    """The command ``cotam <path>``, found in the entry-point group ``cotam.commands``.

    It gets its whole command line. Without cotam-lab, ``--help`` says how to install it.
    """

    def __init__(self, path: str, help: str) -> None:
        name = path.rpartition(" ")[2]
        super().__init__(name, help=f"{help.removesuffix('.')} (cotam-lab).", add_help_option=False)
        self._path, self._summary = path, help

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> Any:
        from importlib.metadata import entry_points

        for point in entry_points(group="cotam.commands", name=self._path.replace(" ", "-")):
            command: click.Command = point.load()
            with command.make_context(self.name, list(ctx.args), parent=ctx.parent) as inner:
                return command.invoke(inner)
        if not {"-h", "--help"} & set(ctx.args):
            raise MissingLabError(f"cotam {self._path}")
        click.echo(f"{self._summary} Part of cotam-lab; run in a clone of cotam: pip install ./lab")
