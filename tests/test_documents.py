"""Documents agree with the source, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import files_page
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("lab/*.md"), *ROOT.glob("lab/docs/*.md")]


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    target = page.parent / path if path else page
    if not target.exists() or not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", prose(target), flags=re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_of_files_is_that_of_today() -> None:
    assert files_page.PAGE.read_text(encoding="utf-8") == files_page.page(), "run: python tests/files_page.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    assert [link for link in links if not leads_somewhere(page, *link.partition("#")[::2])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_install_lines_work_from_a_clone(page: Path) -> None:
    """The package is on no index: `pip install cotam` finds nothing, or something else."""
    assert (
        re.findall(r"pip install[^\n`#]*['\" ]cotam(?:\[|-lab|['\"\s]|$)", page.read_text(encoding="utf-8"))
        == []
    )
