"""Weight sets: what a codec needs besides code, and where it lies.

Knows folders, hashes and tables: nothing of how graphs run. A set is a folder with five ONNX graphs,
``tables.npz`` and ``manifest.json`` (the SHA-256 of each file). The sets in this package never change
once released; a new one gets a new name.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from cotam.errors import UnknownWeightsError
from cotam.format.symbols import Tables

__all__ = [
    "DEFAULT",
    "FOLDER",
    "VIEWS",
    "View",
    "WeightSet",
    "by_hash",
    "digest_of",
    "load",
    "name_of",
    "names",
]

FOLDER = Path(__file__).parent.parent / "weights"
GROUP = "cotam.weights"
"""Entry-point group of weight sets in other packages: each names the folder of one set."""
IN_LAB = "is part of cotam-lab; run in a clone of cotam: pip install ./lab"
DEFAULT = "mllm"
View = Literal["human", "mllm"]
VIEWS = get_args(View)


@dataclass(frozen=True)
class WeightSet:
    """A weight set, read into memory except for its graphs.

    Attributes
    ----------
    name : of the folder
    folder : with the graphs
    digest : SHA-256 over the hashes in the manifest, 32 bytes
    tables : distributions of the symbols
    gains : float32 (101, M), gain of each latent channel at each quality
    nominal : float32 (101,), log2 of the nominal gain
    z_multipliers : float32 (101, Z), integers: steps of the hyper latents in units of 1/4096
    z_index : uint8 (101, Z), table of each hyper latent
    sums64, sums32, offset : float32 (101, C), integers: what quality adds within the scale network
    hyper_quality : float32 (101, C), integers: what quality adds within the hyper context; None without one
    hyper_place : float32 (4, 4, C), integers: what it adds by step and turn, or None
    views : float32 (2,), part that the picture adapter has in the human view and in the MLLM view
    """

    name: str
    folder: Path
    digest: bytes
    tables: Tables
    gains: np.ndarray
    nominal: np.ndarray
    z_multipliers: np.ndarray
    z_index: np.ndarray
    sums64: np.ndarray
    sums32: np.ndarray
    offset: np.ndarray
    views: np.ndarray
    hyper_quality: np.ndarray | None = None
    hyper_place: np.ndarray | None = None

    @property
    def short_hash(self) -> bytes:
        """The two bytes that a file's header carries."""
        return self.digest[:2]


def digest_of(manifest: dict[str, str]) -> bytes:
    """SHA-256 of a set, from the hash of each of its files."""
    text = "".join(f"{name} {manifest[name]}\n" for name in sorted(manifest))
    return hashlib.sha256(text.encode()).digest()


def names() -> list[str]:
    """Names of the installed sets: those of this package first, then those of entry points."""
    return [*_packaged(), *sorted(point.name for point in entry_points(group=GROUP))]


def _packaged() -> list[str]:
    return sorted(p.parent.name for p in FOLDER.glob("*/manifest.json"))


def _folder(name: str) -> Path:
    """Folder of an installed set.

    Raises
    ------
    UnknownWeightsError
        if there is none of this name
    """
    if (FOLDER / name / "manifest.json").is_file():
        return FOLDER / name
    for point in entry_points(group=GROUP, name=name):
        found: Path = point.load()
        return found
    if name == "base":
        raise UnknownWeightsError(f"weight set 'base' {IN_LAB}")
    raise UnknownWeightsError(f"no weight set {name!r}; installed: {', '.join(names())}")


@cache
def load(name: str = DEFAULT, folder: Path | None = None) -> WeightSet:
    """The set of this name, from the package or from the folder that holds it.

    Raises
    ------
    UnknownWeightsError
        if there is none, or if a file does not have the hash in the manifest
    """
    where = folder or _folder(name)
    manifest = json.loads((where / "manifest.json").read_text())
    for file, expected in manifest.items():
        path = where / file
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise UnknownWeightsError(f"{path} is not the file of weight set {name!r}: reinstall cotam")
    with np.load(where / "tables.npz") as arrays:
        fields = {key: arrays[key] for key in arrays.files}
    tables = Tables.from_flat(fields.pop("frequencies"), fields.pop("lengths"))
    return WeightSet(name=name, folder=where, digest=digest_of(manifest), tables=tables, **fields)


def name_of(short: bytes) -> str | None:
    """Name of the installed set with this short hash; those of this package are asked first."""
    return next((name for name in names() if load(name).short_hash == short), None)


def by_hash(short: bytes) -> WeightSet:
    """The set that a file's header names.

    Raises
    ------
    UnknownWeightsError
        if no installed set has this hash
    """
    if name := name_of(short):
        return load(name)
    raise UnknownWeightsError(
        f"the file was made with weight set {short.hex()}, which is not installed; installed: "
        f"{', '.join(f'{name} ({load(name).short_hash.hex()})' for name in names())}. "
        f"The set 'base' {IN_LAB}"
    )
