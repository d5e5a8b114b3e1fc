"""Small data sets of every kind, and conversions that kill their process."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from PIL import Image
from synthetic import picture

import cotam
from cotam.cli.main import main
from cotam.datasets.conversion import Converted, Encoding
from cotam.datasets.shards import Row, Unit, UnitConverter


def photo(seed: int) -> bytes:
    """An image file of 1 kB."""
    buffer = io.BytesIO()
    Image.fromarray(picture(48, 40, seed=seed)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOS = [photo(seed) for seed in range(8)]
CODED = [cotam.encode(photo) for photo in PHOTOS]

HELD = """
import signal, sys, threading
from cotam.cli.main import main
from cotam.datasets import workers

def held(*given, processes=workers.processes, **options):
    for number, row in enumerate(processes(*given, **options), 1):
        yield row
        if number == 20:
            threading.Event().wait()

# A process started in the background may have been told to ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
workers.processes = held
main()
"""
"""``cotam batch`` that goes on to its 20th file only, and so is still at work when it is ended."""


def batch(*arguments: object) -> Result:
    """Run ``cotam batch``."""
    return CliRunner().invoke(main, ["batch", *map(str, arguments)])


def here(work: UnitConverter, units: Sequence[Unit]) -> Generator[Row]:
    """An engine without processes."""
    yield from map(work, units)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def folder_of_images(folder: Path) -> Path:
    """Eight images in three folders, one that is none, and another file."""
    for number, data in enumerate(PHOTOS):
        path = folder / ("", "a", "a/b")[number % 3] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "a/broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("left alone")
    return folder


def tar_shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1_700_000_000
            tar.addfile(member, io.BytesIO(data))
    return path


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]


def parquet_file(path: Path, images: list[Any], **columns: list[Any]) -> Path:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table({"id": list(range(len(images))), "image": images, **columns})
    parquet.write_table(table.replace_schema_metadata({"huggingface": "{}", "kept": "yes"}), path)
    return path


@dataclass(frozen=True)
class Deadly(Encoding):
    """Kills its process, as the system does when memory runs out, at one image: once, or at every try.

    Attributes
    ----------
    victim : the image
    marker : a file that remembers that it happened; empty is at every try
    """

    victim: bytes = b""
    marker: str = ""

    def __call__(self, image: Any) -> Converted:
        if image == self.victim and not (self.marker and os.path.exists(self.marker)):
            if self.marker:
                Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image)
