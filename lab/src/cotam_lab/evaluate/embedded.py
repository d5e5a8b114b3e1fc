"""Tables of benchmarks (TSV, JSONL, parquet), and the pictures that lie within them.

Knows files only: nothing of questions or benchmarks.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotam.errors import InputError, MissingExtraError
from cotam.files import write_whole

__all__ = ["Store", "read_table"]

_ROWS_AT_A_TIME = 64


def read_table(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, by its suffix: .tsv, .jsonl or .parquet.

    Raises
    ------
    InputError
        If it is none of these, or cannot be read.
    MissingExtraError
        If it is parquet, and pyarrow is not installed.
    """
    try:
        if file.suffix == ".tsv":
            csv.field_size_limit(sys.maxsize)  # pictures
            with file.open(encoding="utf-8", newline="") as source:
                yield from csv.DictReader(source, delimiter="\t")
        elif file.suffix == ".jsonl":
            with file.open(encoding="utf-8") as source:
                for line in source:
                    yield json.loads(line)
        elif file.suffix == ".parquet":
            yield from _parquet(file)
        else:
            raise InputError(f"{file}: the suffix is none of .tsv, .jsonl, .parquet")
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: {error}") from error


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("eval", "pyarrow") from error
    with parquet.ParquetFile(file) as source:
        for batch in source.iter_batches(_ROWS_AT_A_TIME):
            yield from batch.to_pylist()


class Store:
    """Writes pictures beside a file, into a folder with its name.

    Parameters
    ----------
    beside : Path
        ``dir/name.jsonl`` has its pictures in ``dir/name_images``.
    """

    def __init__(self, beside: Path) -> None:
        self._folder = beside.with_name(f"{beside.stem}_images")

    def keep(self, name: str, image: Any) -> Path:
        """Write a picture, with its bytes as they are; its path.

        Parameters
        ----------
        name : str
        image : str in base64, bytes, or a dict that has the bytes, as in parquet files of the hub

        Raises
        ------
        InputError
            If it is none of these.
        """
        data = image.get("bytes") if isinstance(image, dict) else image
        if isinstance(data, str):
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise InputError(f"the picture of {name} is not base64: {error}") from error
        if not isinstance(data, bytes) or not data:
            raise InputError(f"{name} has no picture")
        self._folder.mkdir(parents=True, exist_ok=True)
        suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        path = self._folder / (re.sub(r"[^\w.-]", "_", name) + suffix)
        write_whole(str(path), data)
        return path
