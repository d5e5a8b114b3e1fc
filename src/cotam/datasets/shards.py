"""One file of a data set → the same file with all its pictures converted.

Knows picture files, Parquet files and the tar shards of WebDataset: nothing of other files, of processes, or
of what a conversion does. A file is written whole or not at all, and its bytes follow from the source alone:
done again, by anyone, it is the same.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cotam import files
from cotam.datasets.conversion import Conversion, picture_in
from cotam.errors import InputError, MissingExtraError
from cotam.screen import ERRORS, describe

if TYPE_CHECKING:
    import pyarrow

__all__ = ["TABLES", "TARS", "Row", "Unit", "Work", "output_of", "require_tables"]

TABLES = (".parquet",)
TARS = (".tar", ".tar.gz", ".tgz")
_ROWS = 64
"""Rows of a table in memory at a time, before and after."""


@dataclass(frozen=True)
class Unit:
    """A file to be converted, and where to: names below the folders of a `Work`, with slashes."""

    source: str
    output: str


@dataclass
class Row:
    """What became of a `Unit`.

    Attributes
    ----------
    source, output : names; the output is None where none was written
    pictures : that were converted
    bytes_in, bytes_out : of those
    failed : ``{"picture": name, "error": line}`` of each that was not
    """

    source: str
    output: str | None
    pictures: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)

    def add(self, conversion: Conversion, picture: Any, name: str) -> bytes | None:
        """The picture converted, and counted; None if that failed."""
        try:
            picture = picture_in(picture)
            data = conversion(picture)
        except ERRORS as error:
            self.failed.append({"picture": name, "error": describe(error, name)})
            return None
        self.pictures += 1
        self.bytes_in += len(picture) if isinstance(picture, bytes) else picture.nbytes
        self.bytes_out += len(data)
        return data

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """What is done with each unit.

    Attributes
    ----------
    source, target : folders
    conversion : of each picture
    column : of Parquet files: binary, or ``{"bytes": …}``. The other columns stay.
    """

    source: str
    target: str
    conversion: Conversion
    column: str = "image"

    def __call__(self, unit: Unit) -> Row:
        """Convert one file. What goes wrong with it is in the row."""
        source, target = os.path.join(self.source, unit.source), os.path.join(self.target, unit.output)
        row = Row(unit.source, unit.output)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if unit.source.lower().endswith(TABLES):
                self._table(source, target, row)
            elif unit.source.lower().endswith(TARS):
                self._tar(source, target, row)
            else:
                data = row.add(self.conversion, files.read_input(source), unit.source)
                if data is None:
                    return replace(row, output=None)
                files.write_whole(target, data)
        except ERRORS as error:
            return Row(
                row.source, None, failed=[{"picture": row.source, "error": describe(error, row.source)}]
            )
        return row

    def _table(self, source: str, target: str, row: Row) -> None:
        """A failed picture is a null."""
        pyarrow = require_tables()
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(source) as table, files.writing(target) as file:
                schema = _schema(pyarrow, table.schema_arrow, self.column)
                number, at = 0, schema.get_field_index(self.column)
                with parquet.ParquetWriter(file, schema) as writer:
                    for batch in table.iter_batches(_ROWS):
                        found = []
                        for picture in batch.column(at).to_pylist():
                            found.append(row.add(self.conversion, picture, f"{row.source}:{number}"))
                            number += 1
                        columns = list(batch.columns)
                        columns[at] = pyarrow.array(found, pyarrow.binary())
                        writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
        except pyarrow.ArrowException as error:
            raise InputError(f"the Parquet file cannot be read: {error}") from error

    def _tar(self, source: str, target: str, row: Row) -> None:
        """A failed picture is left out. The members beside the pictures stay."""
        taken: set[str] = set()
        if source.lower().endswith(".tar") and os.path.getsize(source) % tarfile.BLOCKSIZE:
            raise InputError("the tar file is cut: its end is missing")  # of which tarfile says nothing
        try:
            with (
                files.writing(target) as file,
                tarfile.open(source, "r|*") as old,
                tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as new,
            ):
                for member in old:
                    content = old.extractfile(member) if member.isfile() else None
                    stem, suffix = posixpath.splitext(member.name)
                    if content is None or suffix.lower() not in self.conversion.takes:
                        new.addfile(member, content)
                        continue
                    member.name = stem + self.conversion.suffix
                    conversion = _once(self.conversion, taken, member.name)
                    data = row.add(conversion, content.read(), f"{row.source}:{stem}{suffix}")
                    if data is not None:
                        member.size, member.pax_headers = len(data), {}
                        new.addfile(member, io.BytesIO(data))
        except (tarfile.TarError, EOFError) as error:
            raise InputError(f"the tar file cannot be read: {error}") from error


def _once(conversion: Conversion, taken: set[str], name: str) -> Any:
    """The conversion, unless the name of its result is taken."""
    if name in taken:

        def refuse(picture: Any) -> bytes:
            raise InputError(f"would be a second {name}")

        return refuse
    taken.add(name)
    return conversion


def _schema(pyarrow: Any, schema: pyarrow.Schema, column: str) -> pyarrow.Schema:
    """Of the output: the column is binary, and what Hugging Face says about its contents is gone."""
    at = schema.get_field_index(column)
    if at < 0:
        raise InputError(f"there is no column {column!r} here, but: {', '.join(schema.names)}")
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != b"huggingface"}
    return schema.set(at, pyarrow.field(column, pyarrow.binary())).with_metadata(metadata)


def require_tables() -> Any:
    """The module pyarrow.

    Raises
    ------
    MissingExtraError
        if it is not installed
    """
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "pyarrow") from error
    return pyarrow


def output_of(source: str, conversion: Conversion) -> str | None:
    """Name of the output of a file, by its name; None for files that are not for us."""
    lower = source.lower()
    if lower.endswith(TABLES):
        return source
    for suffix in TARS:
        if lower.endswith(suffix):
            return source[: -len(suffix)] + ".tar"
    stem, suffix = posixpath.splitext(source)
    return stem + conversion.suffix if suffix.lower() in conversion.takes else None
