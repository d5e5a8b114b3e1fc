"""Which importance map is worth its bits: one codec, many maps, rate at equal distance for an encoder.

``python -m cotam_lab.bench.guides DATA -o OUT --map SPEC …``; `lab/recipes/guides.sh` calls it. Real files only.
A map is given as NAME@STRENGTH: NAME is one of the teacher's own maps (`cotam_lab.guides.sensitivity.MAPS`,
"reader"), a sum of them ("tokens+whole"), or the path of a guide's ONNX file; the level is
4 · strength · (log2 w - mean), rounded and clipped. NAME@ternary is the paper's rule.
Needs torch: the ``train`` extra.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from cotam.codec import weights
from cotam.codec.allocation import fixed
from cotam.codec.still import Codec
from cotam.errors import InputError
from cotam.format.level_map import LIMIT
from cotam.guide.importance import to_levels
from cotam.image.read import to_rgb
from cotam.runtime import OnnxRunner
from cotam_lab.bench.curves import Comparison, compare
from cotam_lab.bench.pictures import plain_pictures
from cotam_lab.bench.sweep import read_rows, repair
from cotam_lab.guides.sensitivity import MAPS, as_tensor, maps, reader_map
from cotam_lab.metrics.features import decibel, decibels, feature_distances
from cotam_lab.nets.teachers import (
    LEVELS,
    Features,
    Reader,
    Teacher,
    load_reader,
    load_teacher,
    reader_distances,
)

SIDE = 378
"""Long side of what is coded: 27 patches of 14 pixels."""

CELL = 32
QUALITIES = (0, 15, 30, 45)
PROBES = {"tokens": 2, "attended": 2, "whole": 4}
PROBED_AT = 30
UNIFORM = "none"
SCORES = {"photos": ("tokens", "attended", "whole"), "text": ("tokens", "attended", "whole", "reader")}
_LEVELS = LEVELS[1:]


@dataclass(frozen=True)
class Spec:
    """A map and the rule that turns it into levels.

    Attributes
    ----------
    text : as given, the key in the rows
    names : teacher's maps to be added, or one ONNX file; none for the uniform map
    strength : None for the ternary rule
    limit : largest level
    """

    text: str
    names: tuple[str, ...] = ()
    strength: float | None = None
    limit: int = LIMIT

    @classmethod
    def parse(cls, text: str) -> Spec:
        """NAME[+NAME…]@STRENGTH[/LIMIT], NAME@ternary, or none. Raises InputError for anything else."""
        if text == UNIFORM:
            return cls(text)
        name, _, rule = text.rpartition("@")
        names = (name,) if name.endswith(".onnx") else tuple(name.split("+"))
        if not all(n in (*MAPS, "reader") or n.endswith(".onnx") for n in names):
            raise InputError(f"{text!r}: maps are {', '.join(MAPS)}, reader, sums of them, or a file .onnx")
        if rule == "ternary":
            return cls(text, names)
        strength, _, limit = rule.partition("/")
        try:
            return cls(text, names, float(strength), int(limit or LIMIT))
        except ValueError:
            raise InputError(f"{text!r} is not NAME@STRENGTH, NAME@STRENGTH/LIMIT or NAME@ternary") from None

    def levels(self, importance: np.ndarray) -> np.ndarray:
        """Levels int8 from importance, both on the grid of levels."""
        size = CELL * importance.shape[0], CELL * importance.shape[1]
        if self.strength is None:
            return to_levels(importance, size, policy="ternary")
        return to_levels(importance, size, exponent=self.strength, limit=self.limit)


@dataclass(frozen=True)
class Subject:
    """A picture to be coded: its key in the rows, whether it is one of text, and its pixels."""

    name: str
    text: bool
    pixels: np.ndarray


def held_out(data: Path, kind: str, limit: int | None) -> Iterator[Subject]:
    """Pictures that no training has seen, at most ``limit``, evenly spaced.

    "photos": Kodak, highres, and the held-out tenths of the training photographs, reduced to 378 pixels;
    "text": documents, charts and ocr, the middle 378×252 pixels at their own scale.
    """
    found: list[tuple[str, Path]] = []
    for pack in ("kodak", "highres", "train/photos", "train/captions") if kind == "photos" else ():
        chosen = plain_pictures(data / pack)
        step = 10 if pack.startswith("train/") else 1
        found += [(f"{pack}/{p.path.stem}", p.path) for p in chosen[::step]]
    for pack in ("documents", "charts", "ocr") if kind == "text" else ():
        found += [(f"{pack}/{p.path.stem}", p.path) for p in plain_pictures(data / pack, 12)]
    if limit and limit < len(found):
        found = [found[round(i * (len(found) - 1) / max(1, limit - 1))] for i in range(limit)]
    for name, path in found:
        yield Subject(name, kind == "text", _fitted(to_rgb(path), kind == "photos"))


def _fitted(pixels: np.ndarray, reduce: bool) -> np.ndarray:
    """Reduced to the long side, then the middle whose sides are multiples of 14."""
    image = Image.fromarray(pixels)
    if reduce:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        box = image.size
    else:
        box = (SIDE, 252)
    width, height = (min(n, b) // 14 * 14 for n, b in zip(image.size, box, strict=True))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return np.ascontiguousarray(np.asarray(image)[top : top + height, left : left + width])


class Bench:
    """One weight set, the teachers, and the maps of pictures, kept in a folder once they are made."""

    def __init__(self, weight_set: str, folder: Path) -> None:
        """``weight_set``: the name of an installed one, or a folder."""
        path = Path(weight_set)
        self.weights = weights.load(path.name, path) if path.is_dir() else weights.load(weight_set)
        self.codec = Codec(self.weights, OnnxRunner(self.weights.folder, threads=1))
        self.folder = folder
        self._guides: dict[str, Any] = {}

    @cached_property
    def teacher(self) -> Teacher:
        return load_teacher(attention=True)

    @cached_property
    def reader(self) -> Reader:
        return load_reader()

    @property
    def version(self) -> str:
        return self.weights.short_hash.hex()

    def importance(self, spec: Spec, subject: Subject) -> np.ndarray:
        """float64 on the grid of levels: the sum of the spec's maps, each of mean 1."""
        return np.sum([self._map(name, subject) for name in spec.names], axis=0)

    def _map(self, name: str, subject: Subject) -> np.ndarray:
        found = self._run(name, subject) if name.endswith(".onnx") else self._teachers(name, subject)
        return found.astype(np.float64) / found.mean()

    def _teachers(self, name: str, subject: Subject) -> np.ndarray:
        kind = "reader" if name == "reader" else "maps"
        path = self.folder / f"{self.version}_{kind}" / f"{subject.name.replace('/', '_')}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            coded = as_tensor(self.codec.decode(self.codec.encode(subject.pixels, PROBED_AT)))
            generator = torch.Generator().manual_seed(0)
            options: dict[str, Any] = {"cell": CELL, "generator": generator}
            if kind == "reader":
                found = {"reader": reader_map(self.reader, coded, probes=2, **options)}
            else:
                found = maps(self.teacher, as_tensor(subject.pixels), coded, probes=PROBES, **options)
            part = path.with_suffix(".part.npz")
            np.savez(part, allow_pickle=False, **{key: value.numpy() for key, value in found.items()})
            part.replace(path)
        with np.load(path) as arrays:
            return arrays[name]

    def _run(self, path: str, subject: Subject) -> np.ndarray:
        """An ONNX guide on the picture, resized to multiples of 32, on the grid of levels."""
        import onnxruntime as ort

        if path not in self._guides:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            self._guides[path] = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        rows, columns = (-(-n // CELL) for n in subject.pixels.shape[:2])
        image = Image.fromarray(subject.pixels).resize(
            (columns * CELL, rows * CELL), Image.Resampling.BILINEAR
        )
        (found,) = self._guides[path].run(["importance"], {"pixels": np.asarray(image)[None]})
        return found[0].reshape(rows, found.shape[1] // rows, columns, -1).mean((1, 3))

    @torch.no_grad()
    def look(self, pixels: np.ndarray, *, attention: bool = False) -> Features:
        """What the teacher sees."""
        return self.teacher(as_tensor(pixels), attention=attention)

    @torch.no_grad()
    def read(self, pixels: np.ndarray) -> list[torch.Tensor]:
        """What the reader sees of the picture, enlarged twice."""
        picture = torch.nn.functional.interpolate(as_tensor(pixels), scale_factor=2, mode="bilinear")
        return list(self.reader(picture))

    def rows(self, subject: Subject, wanted: Iterable[tuple[Spec, int]]) -> Iterator[dict[str, Any]]:
        """A row for each map and quality: size, and distances to the original in -dB, more is better."""
        theirs = self.look(subject.pixels, attention=True)
        read = self.read(subject.pixels) if subject.text else []
        for spec, quality in wanted:
            levels = spec.levels(self.importance(spec, subject)) if spec.names else None
            coded = self.codec.encode(subject.pixels, quality, allocator=fixed(levels))
            decoded = self.codec.decode(coded)
            scores = teacher_scores(self.look(decoded), theirs)
            if subject.text:
                scores["reader"] = decibel(float(reader_distances(self.read(decoded), read)))
            pixels = subject.pixels.shape[0] * subject.pixels.shape[1]
            yield {
                "codec": spec.text,
                "version": self.version,
                "quality": quality,
                "image": subject.name,
                "bytes": len(coded.data),
                "bpp": 8 * len(coded.data) / pixels,
                **scores,
            }


def teacher_scores(ours: Features, theirs: Features) -> dict[str, float]:
    """-10·log10 of the distance of all tokens and of attended ones (mean of levels), whole, each level."""
    found = decibels(feature_distances(ours, theirs))
    names = {"tokens": "features", **{name: name for name in ("attended", "whole", *_LEVELS)}}
    values = {name: found[key] for name, key in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def measure(bench: Bench, subjects: Iterable[Subject], specs: Sequence[Spec], file: Path) -> None:
    """Append the rows that ``file`` lacks."""
    file.parent.mkdir(parents=True, exist_ok=True)
    repair(file)
    done = {_key(row) for row in read_rows(file)} if file.exists() else set()
    with file.open("a", encoding="utf-8") as sink:
        for subject in tqdm(subjects, desc=file.stem, unit="picture", disable=None):
            wanted = [
                (spec, quality)
                for spec in specs
                for quality in QUALITIES
                if (bench.version, spec.text, quality, subject.name) not in done
            ]
            for row in bench.rows(subject, wanted) if wanted else ():
                sink.write(json.dumps(row) + "\n")
                sink.flush()


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["version"], row["codec"], row["quality"], row["image"]


def table(rows: Sequence[dict[str, Any]], specs: Sequence[Spec], scores: Sequence[str]) -> str:
    """BD-rates against the uniform map at equal distance, and what a map of mean zero does to sizes."""
    lines = [
        "| map | " + " | ".join(scores) + " | size at one quality | pictures |",
        "|---" * (len(scores) + 3) + "|",
    ]
    plain = {(row["image"], row["quality"]): row["bytes"] for row in rows if row["codec"] == UNIFORM}
    for spec in specs:
        own = [row for row in rows if row["codec"] == spec.text]
        if spec.text == UNIFORM or not own:
            continue
        compared = [compare(rows, UNIFORM, spec.text, score) for score in scores]
        sizes = [100 * (row["bytes"] / plain[row["image"], row["quality"]] - 1) for row in own]
        cells = [_cell(one) for one in compared]
        change = f"{np.mean(sizes):+.1f} ± {np.std(sizes):.1f}"
        lines.append(f"| {label(spec)} | {' | '.join(cells)} | {change} | {compared[0].pictures} |")
    return "\n".join(lines) + "\n"


def label(spec: Spec) -> str:
    """Name of a map in a table: files by their stem."""
    head, _, rule = spec.text.rpartition("@")
    return f"{Path(head).stem if head.endswith('.onnx') else head} @ {rule}"


def _cell(one: Comparison) -> str:
    if one.rate.value is None:
        return f"– ({one.rate.reason})"
    interval = one.rate_interval
    return f"{one.rate.value:+.1f}" + (f" [{interval.low:+.1f}, {interval.high:+.1f}]" if interval else "")


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--map", "texts", multiple=True, required=True, help="NAME@STRENGTH or NAME@ternary.  [repeatable]"
)
@click.option("--kind", type=click.Choice(list(SCORES)), default="photos", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Take so many pictures, evenly spaced.")
@click.option("--weights", "weight_set", default=weights.DEFAULT, show_default=True, help="Name or folder.")
def main(
    data: Path, out: Path, texts: tuple[str, ...], kind: str, limit: int | None, weight_set: str
) -> None:
    """Measure maps on held-out pictures of DATA: rows.jsonl and a markdown table in OUT.

    Run again, it goes on where it was stopped; other maps and pictures are added to the rows.
    """
    torch.set_num_threads(1)
    try:
        specs = [Spec.parse(text) for text in dict.fromkeys((UNIFORM, *texts))]
        bench, file = Bench(weight_set, out), out / f"{kind}.jsonl"
        subjects = list(held_out(data, kind, limit))
        measure(bench, subjects, specs, file)
    except InputError as error:
        raise click.ClickException(str(error)) from error
    names = {subject.name for subject in subjects}
    rows = [row for row in read_rows(file) if row["version"] == bench.version and row["image"] in names]
    found = table(rows, specs, SCORES[kind])
    (out / f"{kind}.md").write_text(found, encoding="utf-8")
    click.echo(found)


if __name__ == "__main__":
    main()
