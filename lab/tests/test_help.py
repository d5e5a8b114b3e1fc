"""Help of the lab's commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("PIL", "httpx2", "matplotlib", "numpy", "onnx", "onnxruntime", "safetensors", "scipy", "torch", "tqdm"),
    "transformers",
}

PROGRAM = f"""
import importlib.metadata, sys
import click
from cotam.cli.main import main

def paths(command, path):
    yield path
    for name, inner in getattr(command, "commands", {{}}).items():
        yield from paths(inner, [*path, name])

for point in importlib.metadata.entry_points(group="cotam.commands"):
    for path in paths(point.load(), point.name.split("-")):
        main([*path, "--help"], prog_name="cotam", standalone_mode=False)
        if found := {HEAVY} & set(sys.modules):
            sys.exit(f"{{path}} imports {{found}}")
"""


@pytest.fixture(scope="module")
def pages() -> str:
    """Help of all commands. Fails if one of them imports a heavy package."""
    result = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_no_command_imports_a_heavy_package_for_help(pages: str) -> None:
    assert pages.count("Usage: cotam") == 23


def test_outputs_are_named_as_in_the_product(pages: str) -> None:
    assert pages.count("-o, --output ") == pages.count("-o, ") == 18
