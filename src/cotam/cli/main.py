"""The command ``cotam``: exit codes are 0 done, 1 failed, 2 wrong usage, 130 interrupted.

NumPy, Pillow and ONNX Runtime are imported by the commands that use them, when they run.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

import cotam
from cotam.cli import lab
from cotam.cli.batch import batch
from cotam.cli.compare import compare
from cotam.cli.decode import decode
from cotam.cli.encode import encode
from cotam.cli.info import info
from cotam.cli.models import models
from cotam.errors import MissingExtraError
from cotam.screen import ERRORS, Screen, describe

__all__ = ["main"]


class _Program(click.Group):
    """Shows an error as one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click ends quietly
        except ERRORS as error:
            Screen().error(describe(error))
            ctx.exit(1)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cotam.__version__, "-V", "--version", message="cotam %(version)s")
def main() -> None:
    """Images for multimodal LLMs in a few kB."""


for _command in (encode, decode, info, models, batch, compare):
    main.add_command(_command)
for _name, _summary in lab.COMMANDS.items():
    main.add_command(lab.stub(_name, _summary))


# Commands of extras

_EXTRAS = {
    "guide": ("cotam.cli.guide", "", "Look at importance maps, and make guides."),
    "serve": ("cotam.cli.gateway", "serve", "Take .cotam in front of a model server (extra serve)."),
    "edge": ("cotam.cli.gateway", "serve", "Send small images from a client (extra serve)."),
}
"""Command → its module, which is imported when it runs, the extra that it needs, and its help."""


class _Deferred(click.Command):
    """Passes its whole command line on to the command of the same name, or ``main``, of a module."""

    def __init__(self, name: str, module: str, extra: str, summary: str) -> None:
        super().__init__(name, help=summary, add_help_option=False)
        self._module, self._extra = module, extra

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> Any:
        try:
            found = importlib.import_module(self._module)
            command: click.Command = getattr(found, self.name or "", None) or found.main
            with command.make_context(self.name, list(ctx.args), parent=ctx.parent) as inner:
                return command.invoke(inner)
        except ModuleNotFoundError as error:
            if not self._extra or not error.name or error.name.partition(".")[0] == "cotam":
                raise
            raise MissingExtraError(self._extra, error.name) from error


for _name, _about in _EXTRAS.items():
    main.add_command(_Deferred(_name, *_about))


if __name__ == "__main__":
    main(prog_name="cotam")
