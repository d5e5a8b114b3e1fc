"""Nothing heavy is imported before it is used, and nothing of the extras ever by the core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cotam

EXTRAS = [
    "accelerate",
    "av",
    "cotam.gateway",
    "cotam_lab",
    "httpx2",
    "huggingface_hub",
    "matplotlib",
    "onnx",
    "pyarrow",
    "ray",
    "safetensors",
    "scipy",
    "starlette",
    "torch",
    "tqdm",
    "transformers",
]
HEAVY = ["PIL", "constriction", "numpy", "onnxruntime"]

ROUND_TRIP = """
import cotam, numpy
data = cotam.encode(numpy.zeros((20, 30, 3), numpy.uint8))
assert cotam.decode(data).size == (30, 20)
assert cotam.info(data).width == 30
"""
COMMAND = """
import sys
from pathlib import Path
from cotam.cli.main import main
assert main({arguments!r}, standalone_mode=False) in (None, 0)
"""
FAILING_COMMAND = """
from cotam.cli.main import main
try:
    main(["encode", "missing.png"])
except SystemExit:
    pass
"""


def imported(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has after the code."""
    code += "\nimport sys; print('modules:', *sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.partition("modules:")[2].split())


@pytest.mark.parametrize(
    ("code", "left_out"),
    [
        ("import cotam", EXTRAS + HEAVY + ["click"]),
        ("import cotam.cli.main, cotam.files", EXTRAS + HEAVY),
        (COMMAND.format(arguments=["--help"]), EXTRAS + HEAVY),
        (COMMAND.format(arguments=["encode", "-h"]), EXTRAS + HEAVY),
        (COMMAND.format(arguments=["batch", "-h"]), EXTRAS + HEAVY),
        (COMMAND.format(arguments=["guide", "show", "-h"]), EXTRAS + HEAVY),
        (FAILING_COMMAND, [*EXTRAS, "onnxruntime"]),
        (ROUND_TRIP, EXTRAS),
    ],
    ids=[
        "import",
        "import-cli",
        "help",
        "encode-help",
        "batch-help",
        "show-help",
        "failing",
        "round-trip",
    ],
)
def test_what_is_not_imported(code: str, left_out: list[str]) -> None:
    assert not imported(code).intersection(left_out)


def test_the_method_sees_imports() -> None:
    assert {"numpy", "onnxruntime", "cotam.codec.still"} <= imported(ROUND_TRIP)


def test_constriction_is_imported_where_its_stand_in_is():
    importers = [
        p
        for p in Path(cotam.__file__).parent.rglob("*.py")
        if "from constriction" in p.read_text(encoding="utf-8")
    ]
    assert [p.name for p in importers] == ["symbols.py"]
