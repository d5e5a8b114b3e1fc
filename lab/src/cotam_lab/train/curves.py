"""Draw the logs of training runs, or losses of their weights, against steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cotam.errors import InputError
from cotam_lab.bench.report import End, label_ends, panels, plain, write_figure

__all__ = ["KEYS", "draw", "read_log"]

KEYS = {
    "loss": "loss",
    "bpp": "rate, bits per pixel",
    "mse": "squared error of pixels in 0…1",
    "shallow": "distance, shallow",
    "middle": "distance, middle",
    "late": "distance, late",
    "deep": "distance, deep",
    "reader": "distance, reader of text",
}
"""Key → title of its panel, which is drawn if any run has it."""

COLOURS = ("#0b6e99", "#d1603d", "#7a4fa3", "#4b8b3b", "#8a6d1f")

Row = Mapping[str, Any]


def read_log(path: Path) -> list[Row]:
    """Read the rows of a run that have "step", from its folder or a file. "bpp" is the sum of its two parts.

    Raises InputError if there are none.
    """
    file = path / "log.jsonl" if path.is_dir() else path
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file} is no log of a training run: {error}") from error
    found: list[Row] = []
    for row in rows:
        if isinstance(row, dict) and "step" in row:
            parts = {"bpp": row["bpp_y"] + row["bpp_z"]} if "bpp_y" in row else {}
            found.append(row | parts)
    if not found:
        raise InputError(f"{file} has no steps")
    return found


def draw(runs: Mapping[str, Sequence[Row]], file: Path) -> None:
    """Draw a panel for each of `KEYS` that is logged, with a line for each run; equal rows give equal SVG bytes."""
    keys = [key for key in KEYS if any(key in row for rows in runs.values() for row in rows)]
    if not keys:
        raise InputError(f"no run logged any of: {', '.join(KEYS)}")
    with rc_context({"font.size": 10, "svg.hashsalt": "cotam", "text.color": "#333333"}):
        down = -(-len(keys) // 3)
        figure = Figure(figsize=(14.0, 3.3 * down), dpi=120, layout="constrained")
        labelled = []
        for axes, key in zip(panels(figure, len(keys), 3), keys, strict=True):
            ends = []
            for colour, (name, rows) in zip(cycle(COLOURS), runs.items(), strict=False):
                there = [row for row in rows if key in row]
                if not there:
                    continue
                steps, values = [row["step"] for row in there], [row[key] for row in there]
                few = len(there) < 20
                axes.plot(steps, values, color=colour, linewidth=1.8, marker="o" if few else "", markersize=4)
                ends.append(End(name, colour, steps[-1], values[-1]))
            axes.set_title(KEYS[key], loc="left", fontsize=10)
            axes.set_xlabel("steps")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            plain(axes)
            labelled.append((axes, ends))
        label_ends(figure, labelled)
        write_figure(figure, [file])
