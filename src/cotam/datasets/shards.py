"""Convert the images in one file of a data set: an image file, a Parquet file or a WebDataset tar shard.

A file is written whole or not at all, and its bytes depend only on the source and the settings, not on the
process.
"""

from __future__ import annotations

import gzip
import io
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cotam import files
from cotam.datasets.conversion import IMAGE_SUFFIXES, Conversion, image_in
from cotam.errors import InputError, MissingExtraError
from cotam.screen import ERRORS, counted, describe

if TYPE_CHECKING:
    import pyarrow

__all__ = ["TABLES", "Row", "Unit", "UnitConverter", "is_apple_double", "output_of", "require_tables"]

TABLES = (".parquet",)
_TARS = (".tar", ".tar.gz", ".tgz")
_FIRST_MASK = IMAGE_SUFFIXES.index(".png")  # from this suffix on images may be masks
_BATCH_ROWS = 64
"""Rows of a table that are converted at a time."""


@dataclass(frozen=True)
class Unit:
    """A file to convert and its output, as names below the folders of a `UnitConverter`, with slashes."""

    source: str
    output: str


@dataclass
class Row:
    """The result of a `Unit`."""

    source: str
    output: str | None  # None if none was written
    images: int = 0  # number of converted images
    bytes_in: int = 0  # bytes of the converted images
    bytes_out: int = 0  # bytes of what they became
    # ``{"image": name, "error": line}`` for each image that failed
    failed: list[dict[str, str]] = field(default_factory=list)
    # ``{"image": name, "note": line}`` for each that was repaired, left out in part, or grew
    notes: list[dict[str, str]] = field(default_factory=list)

    def add(self, conversion: Conversion, image: Any, name: str) -> bytes | None:
        """Convert and count an image. Returns None if that failed, and for a null, which is not counted."""
        try:
            image = image_in(image)
            if image is None:
                return None
            converted = conversion(image)
        except ERRORS as error:
            self.failed.append({"image": name, "error": describe(error, name)})
            return None
        self.notes += [{"image": name, "note": text} for text in converted.notes]
        self.images += 1
        self.bytes_in += len(image) if isinstance(image, bytes) else image.nbytes
        self.bytes_out += len(converted.data)
        return converted.data


@dataclass(frozen=True)
class UnitConverter:
    """How units are converted."""

    source: str  # folder
    target: str  # folder
    conversion: Conversion  # of each image
    # column of Parquet files: binary, ``{"bytes": …}``, or lists of these; other columns stay
    column: str = "image"
    # extensions of the tar members to convert, such as "jpg" or "left.png": the part of the name after the
    # first dot; empty for one image of each sample
    members: tuple[str, ...] = ()
    strict: bool = False  # whether notes on unconverted members are errors

    def __call__(self, unit: Unit) -> Row:
        """Convert one file; its errors are in the row."""
        source, target = os.path.join(self.source, unit.source), os.path.join(self.target, unit.output)
        row = Row(unit.source, unit.output)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if unit.source.lower().endswith(TABLES):
                self._table(source, target, row)
            elif unit.source.lower().endswith(_TARS):
                self._tar(source, target, row)
            else:
                data = row.add(self.conversion, files.read_input(source), unit.source)
                if data is None:
                    return replace(row, output=None)
                files.write_whole(target, data)
        except ERRORS as error:
            failed = [{"image": row.source, "error": describe(error, row.source)}]
            return Row(row.source, None, failed=failed)
        return row

    def _table(self, source: str, target: str, row: Row) -> None:
        """Convert a column of a Parquet file. A null stays null; a failed image becomes null."""
        pyarrow = require_tables()
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(source) as table, files.writing(target) as file:
                schema = _schema(pyarrow, table.schema_arrow, self.column)
                number, at = 0, schema.get_field_index(self.column)
                with parquet.ParquetWriter(file, schema) as writer:
                    for batch in table.iter_batches(_BATCH_ROWS):
                        found = []
                        for cell in batch.column(at).to_pylist():
                            found.append(self._cell(cell, f"{row.source}:{number}", row))
                            number += 1
                        columns = list(batch.columns)
                        columns[at] = pyarrow.array(found, schema.field(at).type)
                        writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:  # the latter in names of columns
            raise InputError(f"the Parquet file cannot be read: {error}") from error

    def _cell(self, cell: Any, name: str, row: Row) -> Any:
        """Convert a cell; lists are converted element by element."""
        if isinstance(cell, list):
            return [self._cell(each, f"{name}[{number}]", row) for number, each in enumerate(cell)]
        return row.add(self.conversion, cell, name)

    def _tar(self, source: str, target: str, row: Row) -> None:
        """Convert members of a tar file. A failed image is left out; all other members stay."""
        try:
            outputs = self._member_outputs(source, row)
            with (
                files.writing(target) as file,
                _open_tar(source) as old,
                tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as new,
            ):
                for member in old:
                    name = f"{row.source}:{member.name}"
                    if _link_target(member) in outputs:
                        error = f"{name}: is a link to {member.linkname}, which is converted"
                        row.failed.append({"image": name, "error": error})
                        continue
                    content = old.extractfile(member) if member.isfile() else None
                    if member.issparse():  # holes are written as zeros
                        member.type, member.pax_headers = tarfile.REGTYPE, {}
                    if content is None or member.name not in outputs:
                        new.addfile(member, content)
                        continue
                    data = row.add(self.conversion, content.read(), name)
                    if data is not None:
                        member.name = outputs[member.name]
                        member.size, member.pax_headers = len(data), {}
                        new.addfile(member, io.BytesIO(data))
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"the tar file cannot be read: {error}") from error

    def _member_outputs(self, source: str, row: Row) -> dict[str, str]:
        """Return member to convert → name of its output, and note images that are not converted."""
        with _open_tar(source) as tar:
            names = [member.name for member in tar if member.isfile()]
        images = [name for name in names if self._is_image(name)]
        chosen = self._choose_members(images)
        kept = [name for name in images if name not in chosen]
        if kept and not (self.members and chosen):
            why = "masks or other views? --members names those to convert"
            if self.members:
                why = f"none is among --members {','.join(self.members)}"
            text = f"{counted(len(kept), 'image')} not converted, such as {kept[0]}: {why}"
            if self.strict:
                raise InputError(text)
            row.notes.append({"image": row.source, "note": text})
        taken = set(names) - chosen
        outputs: dict[str, str] = {}
        for name in images:
            if name in chosen and name not in outputs:
                short = posixpath.splitext(name)[0] + self.conversion.suffix
                outputs[name] = name + self.conversion.suffix if short in taken else short
                taken.add(outputs[name])
        return outputs

    def _is_image(self, name: str) -> bool:
        return posixpath.splitext(name)[1].lower() in self.conversion.takes and not is_apple_double(name)

    def _choose_members(self, images: Iterable[str]) -> set[str]:
        """Choose the members to convert: those named in ``members``, or one image of each sample.

        Without an image whose extension is only a suffix, all photographs are chosen; or the only image.
        """
        if self.members:
            return {name for name in images if _key(name)[1] in self.members}
        samples: dict[str, list[str]] = {}
        for name in images:
            samples.setdefault(_key(name)[0], []).append(name)
        chosen: set[str] = set()
        for members in samples.values():
            plain = [name for name in members if "." not in _key(name)[1]]
            photographs = [name for name in members if _preference(name) < _FIRST_MASK]
            if plain or len(members) == 1:
                chosen.add(min(plain or members, key=_preference))
            else:
                chosen.update(photographs)
        return chosen


@contextmanager
def _open_tar(path: str) -> Iterator[tarfile.TarFile]:
    """Open a tar file, compressed or not, and check what tarfile does not: its end and its checksum."""
    with open(path, "rb") as plain:
        file = gzip.GzipFile(fileobj=plain) if plain.peek(2).startswith(b"\x1f\x8b") else plain
        with tarfile.open(fileobj=file, mode="r|") as tar:
            yield tar
        while part := file.read(1 << 20):
            if any(part):
                raise InputError(
                    "more follows the end of the tar file: cat does not join tar files, tar -A does"
                )
        if file.tell() % tarfile.BLOCKSIZE:
            raise InputError("the tar file is cut: its end is missing")


def _link_target(member: tarfile.TarInfo) -> str | None:
    """Return the name of the member that a link stands for; None for other members."""
    if member.issym():
        return posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    return member.linkname if member.islnk() else None


def _key(name: str) -> tuple[str, str]:
    """Split the name of a member at the first dot, as WebDataset does, into sample key and extension."""
    folder, base = posixpath.split(name)
    stem, _, extension = base.partition(".")
    return posixpath.join(folder, stem), extension.lower()


def _preference(name: str) -> int:
    """Return the rank of an image in its sample: photographs before possible masks."""
    suffix = posixpath.splitext(name)[1].lower()
    return IMAGE_SUFFIXES.index(suffix) if suffix in IMAGE_SUFFIXES else 0


def _schema(pyarrow: Any, schema: pyarrow.Schema, column: str) -> pyarrow.Schema:
    """Return the schema of the output: the column holds files; Hugging Face's metadata are removed."""
    at = schema.get_field_index(column)
    if schema.names.count(column) > 1:
        raise InputError(f"there are several columns {column!r}")
    if at < 0:
        raise InputError(f"there is no column {column!r}: choose from {', '.join(schema.names)}")
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != b"huggingface"}
    new = pyarrow.field(column, _output_type(pyarrow, schema.field(at).type, column))
    return schema.set(at, new).with_metadata(metadata)


def _output_type(pyarrow: Any, old: Any, column: str) -> Any:
    """Return the output type of a column: binary, or lists of binary."""
    types = pyarrow.types
    if types.is_fixed_size_list(old):
        return pyarrow.list_(_output_type(pyarrow, old.value_type, column), old.list_size)
    if types.is_list(old) or types.is_large_list(old):
        make = pyarrow.large_list if types.is_large_list(old) else pyarrow.list_
        return make(_output_type(pyarrow, old.value_type, column))
    value = old.value_type if types.is_dictionary(old) else old
    holds_bytes = types.is_binary(value) or types.is_large_binary(value) or types.is_null(value)
    has_bytes = types.is_struct(value) and value.get_field_index("bytes") >= 0
    if not (holds_bytes or has_bytes or types.is_binary_view(value) or types.is_fixed_size_binary(value)):
        raise InputError(
            f'column {column!r} holds {old}: expected binary, {{"bytes": binary}}, or lists of these'
        )
    return pyarrow.binary()


def require_tables() -> Any:
    """Import pyarrow. Raises MissingExtraError if it is not installed."""
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "pyarrow") from error
    return pyarrow


def is_apple_double(name: str) -> bool:
    """Whether a file is an AppleDouble file, ``._NAME``: metadata of macOS on other file systems."""
    return posixpath.basename(name).startswith("._")


def output_of(source: str, conversion: Conversion) -> str | None:
    """Return the name of the output of a file, given its name; None if it is not converted."""
    lower = source.lower()
    if is_apple_double(source):
        return None
    if lower.endswith(TABLES):
        return source
    for suffix in _TARS:
        if lower.endswith(suffix):
            return source[: -len(suffix)] + ".tar"
    stem, suffix = posixpath.splitext(source)
    return stem + conversion.suffix if suffix.lower() in conversion.takes else None
