"""The command ``cotam``. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

NumPy, Pillow and ONNX Runtime are imported by the commands that use them, when they run.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import click

import cotam
from cotam.cli.deferred import of_lab, of_module
from cotam.cli.interrupts import ending_cleanly
from cotam.screen import ERRORS, Screen, describe

__all__ = ["main"]

_OWN = ("batch", "compare", "decode", "encode", "info", "models")
"""Commands whose module has their name and needs no extra."""


class _Program(click.Group):
    """Imports the module of a command when it is needed, and shows errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OWN, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            for name in (cmd_name,) if cmd_name in _OWN else _OWN:  # all: click suggests one for a wrong name
                self.add_command(_own(name))
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _errors_shown(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_shown(ctx):
            return super().invoke(ctx)


@contextmanager
def _errors_shown(ctx: click.Context) -> Iterator[None]:
    """Show errors as one line, and exit."""
    try:
        yield
    except KeyboardInterrupt:
        ctx.exit(130)
    except BrokenPipeError:
        raise  # click ends quietly
    except ERRORS as error:
        Screen().error(describe(error))
        ctx.exit(1)


@cache
def _own(name: str) -> click.Command:
    """Import a command of `_OWN`, which then ends cleanly when it is interrupted."""
    command: click.Command = getattr(import_module(f"cotam.cli.{name}"), name)
    assert command.callback
    command.callback = ending_cleanly()(command.callback)
    return command


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(cotam.__version__, "-V", "--version", message="cotam %(version)s")
def main() -> None:
    """Images for multimodal LLMs in a few kB."""
    # Imports make many objects and hardly any garbage: looking for it, then and at the end, takes 40 ms.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


for _command in (
    of_module("guide", "guide", "", "Draw importance maps and export guides."),
    of_module("serve", "gateway", "serve", "Decode .cotam in front of a model server (extra serve)."),
    of_module("edge", "gateway", "serve", "Shrink and encode the images of a client (extra serve)."),
    of_lab("bench", "Compare codecs by rate and metrics."),
    of_lab("analyze", "Study which tasks compression breaks first."),
    of_lab("eval", "Ask a multimodal LLM about coded images."),
    of_lab("train", "Train the codec, guides and adapters."),
):
    main.add_command(_command)


if __name__ == "__main__":
    main(prog_name="cotam")
