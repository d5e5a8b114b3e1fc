"""Import the commands of extras and of cotam-lab only when they run."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from cotam.errors import MissingExtraError, MissingLabError

__all__ = ["of_lab", "of_module"]


class _Deferred(click.Command):
    """Passes its whole command line on to another command, which ``load`` imports.

    ``extra`` is what that command needs, "" for nothing; ``absent`` is printed for --help if it is not
    installed.
    """

    def __init__(
        self, name: str, help: str, load: Callable[[], click.Command], extra: str = "", absent: str = ""
    ) -> None:
        super().__init__(name, help=help, add_help_option=False)
        self._load, self._extra, self._absent = load, extra, absent

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> Any:
        try:
            command = self._load()
            with command.make_context(self.name, list(ctx.args), parent=ctx.parent) as inner:
                return command.invoke(inner)
        except MissingLabError:
            if not {"-h", "--help"} & set(ctx.args):
                raise
            click.echo(self._absent)
        except ModuleNotFoundError as error:
            if not self._extra or not error.name or error.name.partition(".")[0] == "cotam":
                raise
            raise MissingExtraError(self._extra, error.name) from error


def of_module(name: str, module: str, extra: str, help: str) -> click.Command:
    """Return the command ``name`` of a module of `cotam.cli`; ``extra`` is what it needs, "" for none."""

    def load() -> click.Command:
        return getattr(import_module(f"cotam.cli.{module}"), name)

    return _Deferred(name, help, load, extra)


def of_lab(path: str, help: str) -> click.Command:
    """Return the command ``cotam <path>`` of cotam-lab, found in the entry-point group ``cotam.commands``."""

    def load() -> click.Command:
        from importlib.metadata import entry_points

        for point in entry_points(group="cotam.commands", name=path.replace(" ", "-")):
            return point.load()
        raise MissingLabError(f"cotam {path}")

    absent = f"{help} Part of cotam-lab; run in a clone of cotam: pip install ./lab"
    return _Deferred(path.rpartition(" ")[2], f"{help.removesuffix('.')} (cotam-lab).", load, absent=absent)
