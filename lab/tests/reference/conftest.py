from __future__ import annotations

from pathlib import Path

import pytest
from quiz_packs import write_packs

from cotam_lab.reference import quiz_data
from cotam_lab.reference.quiz import Material


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small labelled packs."""
    folder = tmp_path_factory.mktemp("data")
    write_packs(folder)
    return folder


@pytest.fixture(scope="session")
def material(data: Path) -> Material:
    return Material(*quiz_data.training(data))
