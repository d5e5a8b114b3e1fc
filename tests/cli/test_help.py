"""Help: the commands, their options, and the texts in the documents."""

from __future__ import annotations

import cli_docs
import pytest
from click.shell_completion import ShellComplete
from command_line import invoke

import cotam
from cotam.cli.main import main


def test_version() -> None:
    assert invoke("-V").stdout == invoke("--version").stdout == f"cotam {cotam.__version__}\n"


def test_the_list_of_commands_is_whole_and_says_what_each_needs() -> None:
    lines = {line.split()[0]: line for line in invoke("--help").stdout.splitlines() if line.startswith("  ")}
    assert not [line for line in lines.values() if line.endswith("...")]
    lab = {name for name, line in lines.items() if "(cotam-lab)" in line}
    assert lab == {"analyze", "bench", "eval", "train"}
    assert {name for name, line in lines.items() if "(extra serve)" in line} == {"edge", "serve"}


@pytest.mark.parametrize(
    "command", ["serve", "edge", "analyze", "eval", "bench sweep", "bench speed", "bench video"]
)
def test_options_name_their_values(command: str) -> None:
    """Not their types, which click shows otherwise."""
    text = invoke(*command.split(), "--help").stdout
    assert not {"INTEGER", "FLOAT", "TEXT", "PATH", "DIRECTORY"} & {*text.split()}


@pytest.mark.parametrize(
    "command", ["encode", "encode -o", "decode", "info", "compare", "guide show", "batch"]
)
def test_shells_complete_names_of_files(command: str) -> None:
    words = ShellComplete(main, {}, "cotam", "_COTAM_COMPLETE").get_completions(command.split(), "pho")
    assert [(word.value, word.type) for word in words] == [("pho", "file")]


def test_batch_names_its_own_default_format() -> None:
    text = " ".join(invoke("batch", "--help").stdout.split())
    assert "Format of decoded images. [default: png]" in text
    assert "suffix of OUT" not in text


def test_help_texts_in_the_docs_are_those_of_today() -> None:
    page = cli_docs.PAGE.read_text(encoding="utf-8")
    assert page.count("--help\nUsage: cotam") == 12
    assert cli_docs.refreshed(page) == page, "run: python tests/cli_docs.py"
