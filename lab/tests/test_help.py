"""Help of the lab's commands does not wait for torch."""

from __future__ import annotations

import subprocess
import sys

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


def test_help_of_every_command_imports_no_heavy_package() -> None:
    result = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Usage: cotam") == 25
