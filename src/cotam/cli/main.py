"""The command ``cotam``. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

NumPy, Pillow and ONNX Runtime are imported by the commands that use them, when they run.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

import cotam
from cotam.cli.interrupts import ending_cleanly
from cotam.cli.lab import LabCommand
from cotam.screen import ERRORS, Screen, describe

__all__ = ["main"]

_OWN = ("batch", "compare", "decode", "edge", "encode", "guide", "info", "models", "serve")
_MODULES = {"edge": "gateway", "serve": "gateway"}
"""Command → its module, if that has another name."""


class _Program(click.Group):
    """Imports the module of a command when it is needed, and shows errors as one line."""

    def main(self, *args: Any, **options: Any) -> Any:
        if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
            # Not every name and sign has a code in the encoding of a pipe on Windows, such as cp1252.
            sys.stdout.reconfigure(errors="backslashreplace")
        return super().main(*args, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OWN, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            for name in (cmd_name,) if cmd_name in _OWN else _OWN:  # all: click suggests one for a wrong name
                self.add_command(getattr(import_module(f"cotam.cli.{_MODULES.get(name, name)}"), name))
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _errors_shown(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_shown(ctx), ending_cleanly():
            return super().invoke(ctx)


@contextmanager
def _errors_shown(ctx: click.Context) -> Iterator[None]:
    """Show errors as one line, usage errors after the usage, and exit."""
    try:
        yield
    except KeyboardInterrupt:
        ctx.exit(130)
    except (BrokenPipeError, click.exceptions.NoArgsIsHelpError):
        raise  # click ends quietly, or shows the help
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx:
            path = error.ctx.command_path
            click.echo(f"{error.ctx.get_usage()}\nTry '{path} --help' for help.\n", err=True)
        Screen().error(error.format_message())
        ctx.exit(error.exit_code)
    except ERRORS as error:
        Screen().error(describe(error))
        ctx.exit(1)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(cotam.__version__, "-V", "--version", message="cotam %(version)s")
def main() -> None:
    """Images for multimodal LLMs in a few kB."""
    # Imports make many objects and hardly any garbage: looking for it, then and at the end, takes 40 ms.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


for _name, _help in (
    ("bench", "Compare codecs by rate and metrics."),
    ("analyze", "Study which tasks compression breaks first."),
    ("eval", "Ask a multimodal LLM about coded images."),
    ("train", "Train the codec, guides and adapters."),
):
    main.add_command(LabCommand(_name, _help))
