"""Find and load weight sets.

A set is a folder with six ONNX graphs, ``tables.npz`` and ``manifest.json``, which has the SHA-256 of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cotam.errors import UnknownWeightsError
from cotam.format.symbols import Tables

__all__ = ["DEFAULT", "FOLDER", "WeightSet", "by_hash", "digest_of", "label_of", "load", "names"]

FOLDER = Path(__file__).parent.parent / "weights"
GROUP = "cotam.weights"
"""Entry-point group of weight sets in other packages: each names the folder of one set."""
IN_LAB = "is part of cotam-lab; run in a clone of cotam: pip install ./lab"
DEFAULT = "mllm"


@dataclass(frozen=True)
class WeightSet:
    """A weight set without its graphs. Arrays of 101 rows have one for each quality."""

    name: str  # as in profiles and messages
    folder: Path  # has the graphs
    digest: bytes  # SHA-256 over the hashes in the manifest, 32 bytes
    tables: Tables  # frequencies of the symbols
    gains: np.ndarray  # float32 (101, M), gain of each latent channel
    nominal: np.ndarray  # float32 (101,), log2 of the nominal gain
    # float32 (101, Z), integers: quantisation steps of the hyper latents in units of 1/4096
    z_multipliers: np.ndarray
    # int8 (101, Z), table of each hyper latent before the change by the context; may be below 1
    z_index: np.ndarray
    # float32 (101, C), integers: biases by quality in the scale network
    sums64: np.ndarray
    sums32: np.ndarray
    offset: np.ndarray
    hyper_quality: np.ndarray  # float32 (101, C), integers: biases by quality in the hyper context
    hyper_place: np.ndarray  # float32 (4, 4, C), integers: biases by step and turn in the hyper context
    views: np.ndarray  # float32 (2,), weight of the image adapter in each of `cotam.codec.views.VIEWS`

    @property
    def short_hash(self) -> bytes:
        """The first two bytes of the digest, as in the header of a file."""
        return self.digest[:2]


def digest_of(manifest: dict[str, str]) -> bytes:
    """Return the SHA-256 of a set, given the hash of each of its files."""
    text = "".join(f"{name} {manifest[name]}\n" for name in sorted(manifest))
    return hashlib.sha256(text.encode()).digest()


def _installed() -> Iterator[tuple[str, Path]]:
    """Yield name and folder of each installed set, those of this package first."""
    for manifest in sorted(FOLDER.glob("*/manifest.json")):
        yield manifest.parent.name, manifest.parent
    from importlib.metadata import entry_points  # 20 ms

    for point in entry_points(group=GROUP):
        yield point.name, point.load()


def names() -> list[str]:
    """Return the names of the installed sets, those of this package first."""
    return [name for name, _ in _installed()]


def _folder(name: str) -> Path:
    """Return the folder of an installed set; raises as `load`."""
    for found, folder in _installed():
        if found == name:
            return folder
    if name == "base":
        raise UnknownWeightsError(f"weight set 'base' {IN_LAB}")
    raise UnknownWeightsError(f"no weight set {name!r}; installed: {', '.join(names())}")


def _manifest(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a set."""
    return json.loads((folder / "manifest.json").read_bytes())


@cache
def load(name: str = DEFAULT, folder: Path | None = None) -> WeightSet:
    """Load a set by name, or from the ``folder`` of a set that is not installed.

    Raises UnknownWeightsError if there is no such set, or a file does not match its hash in the manifest.
    """
    where = folder or _folder(name)
    manifest = _manifest(where)
    for file, expected in manifest.items():
        path = where / file
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise UnknownWeightsError(f"{path} does not match its weight set's manifest: reinstall cotam")
    with np.load(where / "tables.npz") as arrays:
        fields = {key: arrays[key] for key in arrays.files}
    tables = Tables.from_flat(fields.pop("frequencies"), fields.pop("lengths"))
    return WeightSet(name=name, folder=where, digest=digest_of(manifest), tables=tables, **fields)


def _name_of(short: bytes) -> str | None:
    """Return the name of the installed set with this short hash; None if there is none."""
    for name, folder in _installed():
        if digest_of(_manifest(folder))[:2] == short:
            return name
    return None


def label_of(short: bytes) -> str:
    """Return the name of the set with this short hash, or the hash in hexadecimal if it is not installed."""
    return _name_of(short) or short.hex()


def by_hash(short: bytes) -> WeightSet:
    """Load the set that the header of a file names.

    Raises UnknownWeightsError if no installed set has this hash.
    """
    if name := _name_of(short):
        return load(name)
    raise UnknownWeightsError(
        f"the file was made with weight set {short.hex()}, which is not installed; installed: "
        f"{', '.join(names()) or f'none, {FOLDER} is missing'}. The set 'base' {IN_LAB}"
    )
