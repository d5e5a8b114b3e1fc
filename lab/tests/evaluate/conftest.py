"""Models that the tests of cotam eval share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NEEDED = ("httpx2", "matplotlib", "openai", "scipy", "starlette", "torch", "tqdm", "transformers", "uvicorn")

if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a tiny model of each family."""
    import tiny_mllms

    folders = {}
    for name, write in tiny_mllms.FAMILIES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        write(folders[name])
    return folders
