"""Write the report of the study as Markdown, with figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotam.files import write_whole
from cotam_lab.bench.report import panels, plain, table, versions
from cotam_lab.bench.sweep import Rows
from cotam_lab.study.findings import TASKS, Drop, Inside, drops, inside, usable, verdict

__all__ = ["write_report"]

_COLOURS = {"large text": "#4a7aa8", "class": "#5b8f69", "small text": "#c8373c", "counting": "#e08a3c"}

_REPORT = """\
# What compression breaks

Known images go through each codec at several settings, and simple models do simple tasks on the
results:

| task | depends on | metric | ground truth |
| --- | --- | --- | --- |
| large text | low-level structure: edges | RapidOCR reads lines of 28 and 44 pixels | the words drawn |
| class | coarse semantics | class of EfficientNet-Lite0 | its class of the original |
| small text | cross-level: detail with meaning | RapidOCR reads lines of 12 and 14 pixels | the words drawn |
| counting | cross-level: kinds and borders | connected DINOv2-S tokens like an object | the number pasted |

{examples}

## Tasks

Drop: the part of the originals' score that is lost, mean over the settings, with its 95 % interval over
images. Tasks whose score on the originals is too near to chance are left out. Cross-level tasks break first
if their mean drop minus the largest of the others, the last row, is above zero.

{drops}
![Drops](tasks.svg)

## Layers of the encoder

Mean squared difference of normalised tokens of DINOv2-S, with which codecs may be trained, from those of the
original; 2 means unrelated. Attention is that of [CLS], mean over the layers.

{layers}
![Distances](layers.svg)

## Made with

{versions}"""


def write_report(rows: Mapping[str, Rows], codecs: Sequence[str], out: Path) -> None:
    """Write ``report.md``, ``tasks.svg`` and ``layers.svg`` into ``out``, beside the scenes.

    ``rows`` are those of each pack.
    """
    chosen = [task for task in TASKS if usable(rows[task.pack], task)[0]]
    lost = {codec: [drops(rows[task.pack], task, codec) for task in chosen] for codec in codecs}
    seen = {codec: inside(rows["photos"], codec) for codec in codecs}
    scenes = [sorted(out.glob(f"scenes/{task.pack}/images/*.png"))[:1] for task in TASKS]
    text = _REPORT.format(
        examples=" ".join(f"![{p.stem}]({p.relative_to(out).as_posix()})" for own in scenes for p in own),
        drops=_drop_table(rows, lost),
        layers=_layer_table(seen),
        versions=versions(rows["photos"]),
    )
    write_whole(str(out / "report.md"), text.encode("utf-8"))
    _figure(out / "tasks.svg", codecs, lambda axes, codec: _draw_drops(axes, lost[codec], seen[codec]))
    _figure(out / "layers.svg", codecs, lambda axes, codec: _draw_layers(axes, seen[codec]))


def _drop_table(rows: Mapping[str, Rows], lost: Mapping[str, Sequence[Drop | None]]) -> str:
    lines = []
    for task in TASKS:
        good, score = usable(rows[task.pack], task)
        lines.append([task.name, task.group, f"{100 * score:.0f} %"])
        for found in lost.values():
            drop = next((one for one in found if one and one.task == task), None)
            lines[-1].append(_range(drop.mean, *drop.interval()) if drop else "–" if good else "left out")
    lines.append(["cross-level minus the others", "", ""])
    for found in lost.values():
        own = [drop for drop in found if drop]
        sides = {drop.task.group == "cross-level" for drop in own}
        answer, *numbers = verdict(own) if len(sides) == 2 else ("–",)
        lines[-1].append(f"{_range(*numbers)}: {answer}" if numbers else answer)
    return table(["task", "depends on", "originals", *lost], lines, numbers_from=2)


def _range(value: float, low: float, high: float) -> str:
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]".replace("-", "−")


def _layer_table(seen: Mapping[str, Mapping[int, Inside]]) -> str:
    lines = []
    for codec, by_quality in seen.items():
        for quality, one in by_quality.items():
            worst = int(one.distances[1:].argmax()) + 1
            first, largest, last = (f"{one.distances[place]:.2f}" for place in (0, worst, -1))
            moved = f"{100 * one.moved:.0f} %"
            lines.append([codec, str(quality), f"{one.bpp:.2f}", first, f"{largest} ({worst})", last, moved])
    header = ["codec", "quality", "bpp", "patches", "largest (after layer)", "last layer", "attention moved"]
    return table(header, lines, numbers_from=1)


def _figure(file: Path, codecs: Sequence[str], draw: Callable[[Axes, str], None]) -> None:
    """Draw a panel for each codec; equal rows give equal bytes."""
    across = min(3, len(codecs))
    with matplotlib.rc_context({"svg.hashsalt": "cotam"}):
        figure = Figure(figsize=(4.4 * across, 3.4 * -(-len(codecs) // across)), layout="constrained")
        for axes, codec in zip(panels(figure, len(codecs), across, sharey=True), codecs, strict=True):
            draw(axes, codec)
            axes.set_title(codec, loc="left", fontsize=10)
            if axes.lines:
                axes.legend(fontsize=8, frameon=False)
            plain(axes)
        figure.savefig(file, metadata={"Date": None})


def _draw_drops(axes: Axes, lost: Sequence[Drop | None], seen: Mapping[int, Inside]) -> None:
    for drop in lost:
        if drop and set(drop.qualities) <= set(seen):
            name, group = drop.task.name, drop.task.group
            rates = [seen[quality].bpp for quality in drop.qualities]
            style = "-o" if group == "cross-level" else "--o"
            axes.plot(rates, 100 * drop.lost, style, color=_COLOURS[name], label=f"{name} ({group})")
    axes.set_xlabel("bits per pixel, on the photos")
    axes.set_ylabel("drop, %")


def _draw_layers(axes: Axes, seen: Mapping[int, Inside]) -> None:
    for place, one in enumerate(seen.values()):
        colour = matplotlib.colormaps["plasma"](0.85 * place / len(seen))
        axes.plot(one.distances, color=colour, label=f"{one.bpp:.2f} bpp")
    axes.set_xlabel("layer")
    axes.set_ylabel("distance")
