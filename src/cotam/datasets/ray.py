"""Convert the images of a Ray Dataset, or the units of `cotam batch` on a Ray cluster.

>>> from cotam.datasets.ray import encode_dataset  # doctest: +SKIP
>>> coded = encode_dataset(ray.data.read_parquet("photos"), "image", quality=40)  # doctest: +SKIP
>>> coded.write_parquet("coded")  # doctest: +SKIP

Workers load the graphs once and run them in one thread each. The work of a killed worker is repeated: there
is one result for each image.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from cotam.datasets.conversion import Conversion, Decoding, Encoding
from cotam.datasets.shards import Row, Unit, UnitConverter
from cotam.datasets.workers import DEATHS, killed_row, start_worker
from cotam.errors import CotamError, InputError, MissingExtraError
from cotam.options import View

try:
    import pyarrow
    import ray
    import ray.data
except ModuleNotFoundError as _error:
    raise MissingExtraError("ray", _error.name or "ray") from _error

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["decode_dataset", "encode_dataset", "tasks"]

_CHECK_SECONDS = 30.0
"""Seconds without a result before checking that the cluster has machines left."""


def _pool(actors: int | tuple[int, int]) -> ray.data.ActorPoolStrategy:
    if isinstance(actors, int):
        return ray.data.ActorPoolStrategy(size=actors)
    return ray.data.ActorPoolStrategy(min_size=actors[0], max_size=actors[1])


def encode_dataset(
    dataset: Dataset,
    column: str = "bytes",
    *,
    output: str = "cotam",
    actors: int | tuple[int, int] | None = None,
    batch_size: int = 16,
    **options: Any,
) -> Dataset:
    """Encode the images of a dataset.

    Parameters
    ----------
    dataset : has a column of image files (binary, or Hugging Face's ``{"bytes": …}``), or of uint8 arrays
        (H, W, 3) as from `ray.data.read_images`
    column : name of this column
    output : name of the new column: binary, null where an image failed or was null
    actors : number of actors with one processor each, or (smallest, largest); None is from 1 to all
        processors except one for reading
    batch_size : images per batch of an actor
    options : arguments of `cotam.encode`

    Returns
    -------
    Dataset
        Lazy; ``column`` is replaced by ``output`` and ``error``, the error of a failed image in one line, or
        null. Of a dataset that was converted before, earlier errors stay.

    Raises
    ------
    InputError
        If there is no such column.
    """
    return _map_images(dataset, column, output, Encoding(options), actors, batch_size)


def decode_dataset(
    dataset: Dataset,
    column: str = "cotam",
    *,
    output: str = "image",
    actors: int | tuple[int, int] | None = None,
    batch_size: int = 16,
    form: str = "png",
    view: View = "mllm",
    size_limit: int | None = None,
) -> Dataset:
    """Decode the .cotam files of a dataset to image files; see `encode_dataset`.

    Parameters
    ----------
    form : format of the files, a key of `cotam.image.write.FORMS`; "ppm" is fastest, and largest
    view, size_limit : as for `cotam.decode`
    """
    return _map_images(dataset, column, output, Decoding(form, view, size_limit), actors, batch_size)


def _map_images(
    dataset: Dataset,
    column: str,
    output: str,
    conversion: Conversion,
    actors: int | tuple[int, int] | None,
    batch_size: int,
) -> Dataset:
    schema = dataset.schema()
    if schema is not None and column not in schema.names:
        raise InputError(f"there is no column {column!r}: choose from {', '.join(schema.names)}")
    return dataset.map_batches(
        _Images,
        fn_constructor_args=(conversion, column, output),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=_pool(actors or (1, max(1, _processors() - 1))),
        num_cpus=1,
        udf_modifying_row_count=False,
    )


def _processors() -> int:
    if not ray.is_initialized():
        ray.init()
    return int(ray.cluster_resources().get("CPU", 1))


class _Images:
    """An actor that converts a column."""

    def __init__(self, conversion: Conversion, column: str, output: str) -> None:
        start_worker()
        self._conversion, self._column, self._output = conversion, column, output

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        names = batch.column_names
        errors = batch.column("error").to_pylist() if "error" in names else [None] * len(batch)
        found = []
        for number, image in enumerate(batch.column(self._column).to_pylist()):
            row = Row("", "")
            found.append(row.add(self._conversion, image, "image"))
            if row.failed:
                errors[number] = row.failed[0]["error"]
        rest = batch.drop_columns(list({self._column, self._output, "error"}.intersection(names)))
        rest = rest.append_column(self._output, pyarrow.array(found, pyarrow.binary()))
        return rest.append_column("error", pyarrow.array(errors, pyarrow.string()))


def tasks(work: UnitConverter, units: Sequence[Unit], *, jobs: int | None, address: str) -> Generator[Row]:
    """Convert units in tasks on a cluster; a `cotam.datasets.run.Engine`.

    Parameters
    ----------
    jobs : largest number of tasks at a time, each with its own processor; None is all processors
    address : address of the cluster: "auto", ``HOST:PORT``, or "local" for a new one on this machine
    """
    mine = not ray.is_initialized()
    if mine:
        _check_answers(address)
        own = {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except ConnectionError as error:
            raise InputError(
                f"no Ray cluster answers at {address!r}: {' '.join(str(error).split())}"
            ) from error
    try:
        yield from _run_tasks(work, units, min(jobs or _processors(), _processors()))
    finally:
        if mine:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise InputError if nothing listens at a port, where Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise InputError(f"no Ray cluster answers at {address!r}: {error.strerror or error}") from error


def _convert(work: UnitConverter, unit: Unit) -> Row:
    start_worker()
    return work(unit)


def _run_tasks(work: UnitConverter, units: Sequence[Unit], jobs: int) -> Iterator[Row]:
    """Yield the rows of units as their tasks finish; Ray repeats tasks whose worker dies."""
    convert = ray.remote(num_cpus=1, max_retries=DEATHS - 1)(_convert).remote
    shared, rest = ray.put(work), iter(units)
    running = {convert(shared, unit): unit for unit in islice(rest, jobs)}
    while running:
        found, _ = ray.wait(list(running), timeout=_CHECK_SECONDS)
        if not found and not any(node["Alive"] for node in ray.nodes()):
            raise CotamError("the Ray cluster has no machine left: run it again, what is done is not redone")
        for ready in found:
            unit = running.pop(ready)
            try:
                row = ray.get(ready)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                row = killed_row(unit)
            running |= {convert(shared, unit): unit for unit in islice(rest, 1)}
            yield row
