"""``python -m cotam_lab.bench.bulk``: many pictures through `cotam batch`, with a worker killed on the way.

Knows commands, processes and files: nothing of pictures but how to cut them. The same crops go through one
worker of Ray, through two of which one is killed, and through one local process: all outputs must be equal.
Times are those that the command says, without the start of Ray. The single process then decodes what it made,
so that `cotam_lab.bench.scale` knows the processor time of both.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

from cotam.datasets.run import MANIFEST
from cotam.image.read import to_rgb
from cotam_lab.bench.pictures import plain_pictures

__all__ = ["crops", "descendants"]

SIDE = 256


def crops(folder: Path, target: Path, count: int) -> None:
    """Write so many different squares, as JPEG of quality 85, cut from the pictures of a folder."""
    target.mkdir(parents=True)
    sources = [to_rgb(picture.path) for picture in plain_pictures(folder, 24)]
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = sources[number % len(sources)]
        top, left = (int(rng.integers(side - SIDE + 1)) for side in pixels.shape[:2])
        square = Image.fromarray(pixels[top : top + SIDE, left : left + SIDE])
        square.save(target / f"{number:06}.jpg", quality=85)


def descendants(pid: int) -> dict[int, str]:
    """Processes that come from this one, and their command lines."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (OSError, ValueError):
            continue  # it has ended
    found: dict[int, str] = {}
    frontier = [pid]
    while frontier:
        above = frontier.pop()
        below = [child for child, parent in parents.items() if parent == above]
        found.update((child, names.get(child, "")) for child in below)
        frontier += below
    return found


@dataclass(frozen=True)
class _Run:
    """Pictures a second, processor seconds of the command and its processes, and how many were killed."""

    rate: float
    processor: float
    killed: int


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(source: Path, target: Path, options: list[str], kill: bool = False) -> _Run:
    """Run `cotam batch`; ``kill`` a worker when a third of the pictures is done."""
    total, killed = len(list(source.iterdir())), 0
    command = [sys.executable, "-m", "cotam", "batch", str(source), str(target), *options]
    # Ray makes its workers nice, which beside other work would be measured here.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    before = _processor_seconds()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while kill and not killed and process.poll() is None:
            time.sleep(0.2)
            manifest = target / MANIFEST
            if manifest.exists() and manifest.read_bytes().count(b"\n") > total / 3:
                below = descendants(process.pid).items()
                workers = [pid for pid, name in below if name.startswith("ray::_Worker")]
                if workers:
                    os.kill(workers[0], signal.SIGKILL)
                    killed = 1
        _, said = process.communicate()
    rate = re.search(r"pictures in [\d.]+ s, ([\d.]+) a second", said)
    if process.returncode or not rate:
        raise click.ClickException(f"cotam batch failed: {said}")
    return _Run(float(rate[1]), _processor_seconds() - before, killed)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--pictures", default=2000, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="JSON with what was measured.")
def main(folder: Path, pictures: int, output: Path | None) -> None:
    """Send crops of pictures in FOLDER through workers; exit code 1 if an output is not as it should be."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        crops(folder, here / "src", pictures)
        source = here / "src"
        serial = _run(source, here / "serial", ["-j", "1"])
        local = _run(source, here / "local", ["-j", "2"])
        one = _run(source, here / "one", ["-j", "1", "--ray"])
        two = _run(source, here / "two", ["-j", "2", "--ray"])
        again = _run(source, here / "killed", ["-j", "2", "--ray"], kill=True)
        decoded = _run(here / "serial", here / "decoded", ["-j", "1", "--decode", "--format", "ppm"])
        expected = {path.name: path.read_bytes() for path in (here / "serial").iterdir()}
        wrong = []
        for kind in ("local", "one", "two", "killed"):
            found = {path.name: path.read_bytes() for path in (here / kind).iterdir()}
            wrong += [
                f"{kind}/{n}" for n in expected.keys() | found.keys() if expected.get(n) != found.get(n)
            ]
        rows = [json.loads(line) for line in (here / "serial" / MANIFEST).read_text().splitlines()[1:]]
    click.echo("| workers | pictures a second | to one |\n| --- | --- | --- |")
    for what, run, reference in (
        ("1 process", serial, serial),
        ("2 processes", local, serial),
        ("1 of Ray", one, one),
        ("2 of Ray", two, one),
        ("2 of Ray, one killed on the way", again, one),
    ):
        click.echo(f"| {what} | {run.rate:.1f} | {run.rate / reference.rate:.2f} × |")
    click.echo(
        f"{len(rows)} of {pictures} pictures, {again.killed} worker killed, {len(wrong)} outputs differ"
    )
    for line in sorted(wrong)[:20]:
        click.echo(line, err=True)
    if output:
        measured = {
            "pictures": len(rows),
            "megapixels": SIDE * SIDE / 1e6,
            "bytes_jpeg": sum(row["bytes_in"] for row in rows),
            "bytes_cotam": sum(row["bytes_out"] for row in rows),
            "encode_processor_seconds": serial.processor,
            "decode_processor_seconds": decoded.processor,
            "speedup_of_two": {"processes": local.rate / serial.rate, "ray": two.rate / one.rate},
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(measured, indent=1) + "\n")
    sys.exit(1 if wrong or len(rows) != pictures or not again.killed else 0)


if __name__ == "__main__":
    main()
