"""Brings the help texts in docs/cli.md up to date: ``python tests/cli_docs.py``."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from cotam.cli.main import main

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"


def help_of(command: str) -> str:
    """What ``cotam … --help`` prints on 110 columns."""
    _, *arguments = command.split()
    result = CliRunner().invoke(
        main, arguments, prog_name="cotam", terminal_width=110, catch_exceptions=False
    )
    assert result.exit_code == 0
    return result.output


def refreshed(page: str) -> str:
    """The page with the help texts of today after each ``$ cotam … --help``."""
    return re.sub(
        r"```console\n\$ (cotam[^\n]* --help)\n.*?```",
        lambda block: f"```console\n$ {block[1]}\n{help_of(block[1])}```",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
