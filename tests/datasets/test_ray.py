"""Datasets and units through a real Ray cluster of two processors on this machine."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data_sets
import numpy as np
import pytest
from data_sets import CODED, PHOTOS, Deadly, batch, contents, folder_of_images, parquet_file, tar_shard
from synthetic import picture

import cotam
from cotam.datasets.conversion import Conversion, Encoding
from cotam.datasets.run import run
from cotam.datasets.shards import Unit, UnitConverter
from cotam.errors import InputError, MissingExtraError

# Ray's own, at import and at exit.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Future", "Deprecation", "Resource")
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster that ends with the module."""
    pytest.importorskip("pyarrow")
    # Ray makes its workers nice, so that on a machine with other work they would not get far.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    module = pytest.importorskip("ray")
    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    module.cloudpickle.register_pickle_by_value(data_sets)
    module.data.DataContext.get_current().enable_progress_bars = False
    yield module
    module.shutdown()


def test_an_address_where_nobody_listens(tmp_path: Path) -> None:
    """Before any test that has a cluster: then the address is not looked at."""
    pytest.importorskip("ray")
    from cotam.datasets.ray import tasks

    work = UnitConverter(str(tmp_path), str(tmp_path / "out"), Encoding())
    with pytest.raises(InputError, match=r"no Ray cluster answers at '127\.0\.0\.1:1': Connection refused"):
        next(tasks(work, [Unit("1.jpg", "1.cotam")], jobs=1, address="127.0.0.1:1"))


def test_a_worker_that_is_killed_costs_nothing(ray: Any, tmp_path: Path) -> None:
    """In the middle of a shard. All is as of a serial run, the manifest too."""
    from cotam.datasets.ray import tasks

    source = folder_of_images(tmp_path / "src")
    tar_shard(source / "s.tar", {f"{n}.jpg": data for n, data in enumerate(PHOTOS)})
    parquet_file(source / "t.parquet", PHOTOS)

    def work(target: str, conversion: Conversion) -> UnitConverter:
        return UnitConverter(str(source), str(tmp_path / target), conversion)

    deadly = Deadly(victim=PHOTOS[4], marker=str(tmp_path / "happened"))

    def engine(work: UnitConverter, units: Any) -> Any:
        return tasks(work, units, jobs=2, address="local")

    run(work("killed", deadly), engine)
    assert (tmp_path / "happened").exists()
    run(work("serial", Encoding()), lambda work, units: (work(unit) for unit in units))
    assert contents(tmp_path / "killed") == contents(tmp_path / "serial")


@pytest.mark.slow
def test_what_kills_every_worker_has_failed(ray: Any, tmp_path: Path) -> None:
    from cotam.datasets.ray import tasks
    from cotam.datasets.run import find_contents

    work = UnitConverter(
        str(folder_of_images(tmp_path / "src")), str(tmp_path / "out"), Deadly(victim=PHOTOS[4])
    )
    rows = {row.source: row for row in tasks(work, find_contents(work).units, jobs=2, address="local")}
    assert len(rows) == 9
    assert "was killed 3 times" in rows["a/4.jpg"].failed[0]["error"]
    assert sum(row.output is not None for row in rows.values()) == 7


@pytest.mark.slow
def test_the_command(ray: Any, tmp_path: Path) -> None:
    source = folder_of_images(tmp_path / "src")
    result = batch(source, tmp_path / "out", "-j", 2, "--ray")
    assert result.exit_code == 1
    assert "8 images in" in result.output
    found = contents(tmp_path / "out")
    assert sorted(data for name, data in found.items() if name.endswith(".cotam")) == sorted(CODED)


@pytest.mark.slow
def test_a_dataset_there_and_back(ray: Any, tmp_path: Path) -> None:
    from cotam.datasets.ray import decode_dataset, encode_dataset

    parquet_file(tmp_path / "in/t.parquet", [*PHOTOS, b"none"])
    dataset = ray.data.read_parquet(str(tmp_path / "in"))
    coded = encode_dataset(dataset, "image", batch_size=4, quality=50)
    rows = sorted(coded.take_all(), key=lambda row: row["id"])
    assert [row["cotam"] for row in rows] == [*CODED, None]
    assert [row["error"] for row in rows[:-1]] == [None] * len(PHOTOS)
    assert rows[-1]["error"] == "image: not an image of a known format"
    assert "image" not in rows[0]

    decoded = decode_dataset(ray.data.from_items(rows), form="ppm", batch_size=4).take_all()
    back = sorted(decoded, key=lambda row: row["id"])
    assert [row["image"][:2] for row in back[:-1]] == [b"P6"] * len(PHOTOS)
    assert [row["error"] for row in back] == [row["error"] for row in rows]
    assert (back[-1]["image"], set(back[-1])) == (None, {"id", "image", "error"})


@pytest.mark.slow
def test_a_dataset_of_arrays(ray: Any) -> None:
    from cotam.datasets.ray import encode_dataset

    images = np.stack([picture(40, 48, seed=seed) for seed in range(3)])
    rows = encode_dataset(ray.data.from_numpy(images), "data").take_all()
    assert sorted(row["cotam"] for row in rows) == sorted(map(cotam.encode, images))


@pytest.mark.slow
def test_a_column_that_is_not_there(ray: Any) -> None:
    from cotam.datasets.ray import encode_dataset

    with pytest.raises(InputError, match="there is no column 'photo': choose from item"):
        encode_dataset(ray.data.from_items([b"x"]), "photo")


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "cotam.datasets.ray", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[ray\]'"):
        importlib.import_module("cotam.datasets.ray")
