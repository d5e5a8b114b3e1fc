"""Brings docs/files.md up to date: ``python tests/files_page.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "files.md"

HEAD = """# Where things are

Each module with the first line of its docstring. Imports go one way: cli, gateway, datasets → api → codec,
guide, image → format → errors. `tests/test_imports.py` enforces it.

"""


def page() -> str:
    """The page as it should be."""
    return (
        HEAD + "\n".join(_tree(ROOT / "src/cotam")) + "\n\n## The lab\n\n"
        "`cotam-lab` imports `cotam`, never the reverse.\n\n"
        + "\n".join(_tree(ROOT / "lab/src/cotam_lab"))
        + "\n"
    )


def _tree(folder: Path) -> Iterator[str]:
    yield f"**{folder.relative_to(ROOT)}/** {_summary(folder / '__init__.py')}".rstrip()
    yield ""
    for path in sorted(folder.glob("*.py")):
        if path.name not in ("__init__.py", "_version.py"):
            yield f"- `{path.name}` {_summary(path)}"
    yield ""
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").is_file():
            yield from _tree(inner)


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
