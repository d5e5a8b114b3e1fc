"""Brings docs/files.md up to date: ``python tests/files_page.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "files.md"

HEAD = """# Where things are

| folder | |
| --- | --- |
| `src/cotam` | the Python package, below |
| `tests` | its tests; `tests/golden` has files whose bytes must not change |
| `js` | the [npm package](javascript.md) |
| `lab` | [cotam-lab](../lab/README.md): training, measuring, recipes |
| `samples` | images to try |
| `deploy` | Dockerfile, compose file and systemd unit of the [gateway and edge](serve.md) |

Each module with the first line of its docstring. Imports go one way: cli, gateway, datasets → api → codec,
guide, image → format → errors. `tests/test_imports.py` enforces it.

"""


def page() -> str:
    """The page as it should be."""
    return HEAD + "\n".join(_tree(ROOT / "src/cotam"))


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
