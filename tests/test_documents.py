"""Documents agree with the source, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import files_page
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("lab/*.md"), *ROOT.glob("lab/docs/*.md")]


def test_the_map_of_files_is_that_of_today() -> None:
    assert files_page.PAGE.read_text(encoding="utf-8") == files_page.page(), "run: python tests/files_page.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_install_lines_work_from_a_clone(page: Path) -> None:
    """The package is on no index: `pip install cotam` finds nothing, or something else."""
    assert (
        re.findall(r"pip install[^\n`#]*['\" ]cotam(?:\[|-lab|['\"\s]|$)", page.read_text(encoding="utf-8"))
        == []
    )
