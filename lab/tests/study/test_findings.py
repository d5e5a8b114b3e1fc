"""Findings follow from the rows, either way, and a task near chance is left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotam_lab.study.findings import TASKS, drops, inside, usable, verdict
from cotam_lab.study.report import write_report

LARGE, CLASS, SMALL, COUNTING = TASKS


def rows_of(key: str, untouched: float, *decoded: float, pictures: int = 60) -> list[dict[str, Any]]:
    """Of jpeg at qualities 1, 2, …: a share of the pictures has score 1, the others 0."""
    rows = []
    for quality, share in enumerate((untouched, *decoded)):
        for picture in range(pictures):
            row = {"codec": "jpeg" if quality else "original", "version": "1", "image": str(picture)}
            layers = {f"layer_{n}": 0.1 * n / max(quality, 1) for n in range(13)}
            row |= {"quality": quality or None, "bpp": 0.1 + quality, key: float(picture < share * pictures)}
            rows.append(row | layers | {"attention": 0.25 / max(quality, 1)})
    return rows


def study(small: float, counting: float = 0.9) -> dict[str, list[dict[str, Any]]]:
    return {
        "large_text": rows_of("recall", 1, 0.9, 1.0),
        "photos": rows_of("class", 1, 0.8, 1.0),
        "small_text": rows_of("recall", 0.9, small, 0.9),
        "counting": rows_of("exact", counting, small * counting, counting),
    }


def test_drop_is_relative_to_the_untouched() -> None:
    drop = drops(rows_of("recall", 0.8, 0.2, 0.6), SMALL, "jpeg")
    assert drop.lost == pytest.approx([0.75, 0.25])
    assert drop.mean == pytest.approx(0.5)
    low, high = drop.interval()
    assert 0.3 < low < 0.5 < high < 0.7


def test_pictures_without_all_qualities_do_not_count() -> None:
    rows = rows_of("recall", 1, 0.5, 1.0, pictures=4)
    rows[5]["recall"] = None  # a metric that failed
    assert drops(rows, SMALL, "jpeg").lost == pytest.approx([2 / 3, 0])


def test_a_task_near_chance_is_left_out() -> None:
    assert usable(rows_of("exact", 0.9, 0.5), COUNTING) == (True, 0.9)
    assert not usable(rows_of("exact", 0.3, 0.2), COUNTING)[0]  # twice chance is a third
    assert not usable(rows_of("exact", 1.0, 0.2, pictures=1), COUNTING)[0]
    assert not usable([], COUNTING)[0]


@pytest.mark.parametrize(("small", "answer"), [(0.1, "first"), (0.9, "not first"), (0.72, "open")])
def test_verdict_goes_either_way(small: float, answer: str) -> None:
    rows = study(small)
    found = [drops(rows[task.pack], task, "jpeg") for task in TASKS]
    said, difference, low, high = verdict(found)
    assert said == answer
    assert low <= difference <= high


def report_of(rows: dict[str, list[dict[str, Any]]], out: Path) -> str:
    write_report(rows, ["jpeg"], out)
    return (out / "report.md").read_text("utf-8")


def test_report_says_what_the_numbers_say(tmp_path: Path) -> None:
    text = report_of(study(0.1), tmp_path)
    assert "| class | semantic | 100 % | 10 % [" in text
    assert text.count(": first |") == 1
    assert "| jpeg | 1 | 1.10 | 0.00 | 1.20 (12) | 1.20 | 25 % |" in text
    figures = {file.name: file.read_bytes() for file in tmp_path.glob("*.svg")}
    assert sorted(figures) == ["layers.svg", "tasks.svg"]
    text = report_of(study(0.9, counting=0.2), tmp_path)
    assert "| counting | cross-level | 20 % | left out |" in text
    assert ": first |" not in text
    report_of(study(0.1), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.svg")} == figures


def test_a_codec_that_fails_is_reported_for_the_rest(tmp_path: Path) -> None:
    """A row with an error has neither sizes nor scores."""
    rows = study(0.1)
    key = ("codec", "version", "image", "quality")
    for found in rows.values():
        failed = {name: found[-1][name] for name in key} | {"error": "OSError: broken"}
        found[-1] = failed
    assert "| jpeg | 2 | 2.10 |" in report_of(rows, tmp_path)
    for found in rows.values():
        found[:] = [row for row in found if row["codec"] == "original"]
    assert "| large text | low-level | 100 % | – |" in report_of(rows, tmp_path)


def test_layers_are_means_over_pictures() -> None:
    means = inside(rows_of("class", 1, 1, 1, pictures=3), "jpeg")
    assert list(means) == [1, 2]
    assert means[2].distances == pytest.approx(0.05 * np.arange(13))
    assert means[2].moved == pytest.approx(0.125)
