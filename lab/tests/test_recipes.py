"""The Python in recipes imports names that exist. What a recipe computes is tested where its modules are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = re.compile(r"<<'?(?P<end>\w+)'?[^\n]*\n(?P<text>.*?)\n(?P=end)\n", re.DOTALL)
IMPORT = re.compile(r"^ *(?:from [\w.]+ )?import [^\n(]+$", re.MULTILINE)


def imports(recipe: Path) -> str:
    found = "".join(match["text"] + "\n" for match in SCRIPT.finditer(recipe.read_text() + "\n"))
    return "\n".join(line.strip() for line in IMPORT.findall(found))


RECIPES = {path.stem: lines for path in sorted((ROOT / "recipes").glob("*.sh")) if (lines := imports(path))}


def test_there_are_recipes_with_python() -> None:
    assert {"exactness", "paper"} <= RECIPES.keys()


@pytest.mark.parametrize("recipe", RECIPES)
def test_imports_of_recipes_exist(recipe: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", RECIPES[recipe]],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ran.returncode, ran.stderr
